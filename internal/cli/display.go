package cli

import (
	"sync"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/term"
)

// lazyLive is a display that starts with the first thing to show: until then
// the terminal may be needed for prompts.
type lazyLive struct {
	streams *term.Streams
	now     func() time.Time
	once    sync.Once
	live    *term.Live
}

func (l *lazyLive) get() *term.Live {
	l.once.Do(func() { l.live = term.NewLive(l.streams, l.now) })
	return l.live
}

// log prints a line, above the live ones if there are any.
func (l *lazyLive) log(format string, args ...any) {
	if l.streams.Quiet {
		return
	}
	if l.live == nil {
		l.streams.Say(format, args...)
		return
	}
	l.live.Log(format, args...)
}

func (l *lazyLive) stop() {
	if l.live != nil {
		l.live.Stop()
	}
}

// showDeploy turns an event of a deploy into a change of the display.
func showDeploy(live *lazyLive, e deploy.Event) {
	if e.Phase != deploy.End {
		if e.State == deploy.Started || e.State == deploy.Running {
			live.get().Set(e.Machine, string(e.Phase), e.Message)
		}
		return
	}
	live.get().Finish(e.Machine, string(e.State), e.Message, stateColor(e.State))
}

func stateColor(s deploy.State) term.Color {
	switch s {
	case deploy.Done, deploy.Unchanged:
		return term.Green
	case deploy.Failed:
		return term.Red
	}
	return term.Yellow
}

// sayFailed tells which machines do not evaluate, and why.
func (s *session) sayFailed(e *flake.Evaluated) {
	for _, failed := range e.Errors() {
		s.Streams.Problem(failed)
	}
}

// exitFor is how a command ends that served the machines that evaluate.
func (s *session) exitFor(e *flake.Evaluated) error {
	switch {
	case len(e.Failed) == 0:
		return nil
	case len(e.Details) == 0:
		return exit(exitFailed)
	}
	return exit(exitSomeFailed)
}
