package cli

import (
	"fmt"
	"strings"
	"sync"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/host"
	"github.com/crs58/fleet/internal/term"
	"github.com/crs58/fleet/internal/vars"
)

// progress is a display of long work that starts with the first thing to show:
// until then the terminal may be needed for prompts.
type progress struct {
	app *App
	// events says that every event is a line of JSON.
	events bool
	once   sync.Once
	live   *term.Live
}

// progress shows how a query comes on, work how long work does: with --json the
// first prints one object at the end, the second events and a result.
func (a *App) progress() *progress { return &progress{app: a} }

func (a *App) work() *progress { return &progress{app: a, events: a.config.JSON} }

func (p *progress) get() *term.Live {
	p.once.Do(func() { p.live = term.NewLive(p.app.Streams, p.app.Now) })
	return p.live
}

// stop ends the display and leaves its lines, clear takes them away because a
// table with the same follows.
func (p *progress) stop() {
	if p.live != nil {
		p.live.Stop()
	}
}

func (p *progress) clear() {
	if p.live != nil {
		p.live.Clear()
	}
}

// deploy shows an event of a deploy. Why a machine failed is said at the end.
func (p *progress) deploy(e deploy.Event) {
	switch {
	case p.events:
		p.app.event(e)
	case e.Phase == deploy.End:
		p.get().Finish(e.Machine, string(e.State), "", stateColor(e.State))
	case e.State == deploy.Started || e.State == deploy.Running:
		p.get().Set(e.Machine, string(e.Phase), e.Message)
	case e.State == deploy.Done: // its turn for the next phase may be a while off
		p.get().Set(e.Machine, "waiting", string(e.Phase)+" done")
	}
}

// bootstrap shows an event of a bootstrap. Its steps are few and each is worth
// a line, also where there is no terminal.
func (p *progress) bootstrap(e host.Event) {
	ended := e.State != deploy.Started && e.State != deploy.Running
	switch {
	case p.events:
		p.app.event(e)
	case !ended:
		p.get().Set(string(e.Step), "running", e.Message)
	case stateColor(e.State) == term.Green:
		p.get().Finish(string(e.Step), string(e.State), e.Message, term.Green)
		if p.app.Streams.Tty == nil {
			p.app.Streams.Say("%s", strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", e.Step, e.State, e.Message), ": "))
		}
	default: // why is said at the end
		p.get().Finish(string(e.Step), string(e.State), "", stateColor(e.State))
	}
}

// vars shows an event of a run of generators.
func (p *progress) vars(e vars.Event) {
	name := e.ID.String()
	switch {
	case p.events:
		p.app.event(e)
	case e.Kind == vars.Building:
		p.get().Set("scripts", "building", e.Text)
	case e.Kind == vars.Started:
		p.get().Finish("scripts", "built", "", term.Green)
		p.get().Set(name, "running", "")
	case e.Kind == vars.Finished:
		p.get().Finish(name, "made", "", term.Green)
	case e.Kind == vars.Failed:
		p.get().Finish(name, "failed", "", term.Red)
	case e.Kind == vars.Skipped:
		p.get().Finish(name, "skipped", e.Text, term.Yellow)
	case e.Kind == vars.Moved:
		p.app.Streams.Say("%s: its values have moved", name)
	case e.Kind == vars.Accepted:
		p.app.Streams.Say("%s: its values stay as they are", name)
	case e.Kind == vars.Rewrapped:
		p.app.Streams.Say("%s: encrypted for more readers", strings.TrimSuffix(name+"/"+e.File, "/"))
	case e.Kind == vars.Recovered || e.Kind == vars.Noted:
		p.app.Streams.Say("%s", strings.TrimPrefix(name+": "+e.Text, ": "))
	}
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

// paintState colours a column of states where standard output is a terminal.
func (a *App) paintState(states int) func(column int, cell string) string {
	return func(column int, cell string) string {
		if column != states {
			return cell
		}
		return a.Streams.PaintOut(stateColor(deploy.State(cell)), cell)
	}
}

// sayFailed tells which machines do not evaluate, and why.
func (s *session) sayFailed(e *flake.Evaluated) {
	for _, failed := range e.Errors() {
		s.Streams.Problem(fmt.Errorf("%s: %w", failed.Machine, failed))
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
