package deploy

import (
	"fmt"
	"time"

	"github.com/crs58/fleet/internal/nix"
)

// nixWatch tells of Nix's work for one machine: all of it in the machine's log,
// and what it is at as events, no more than a person can follow.
type nixWatch struct {
	d       *Deployer
	machine string
	phase   Phase

	name           string // what it is at
	step           string // of a build
	done, expected int64
	shown          string // what was told last, and when
	told           time.Time
}

// nixPause is the least time between two events about Nix's progress.
const nixPause = 200 * time.Millisecond

// nixEvents hands on what Nix does. Nix calls it on one goroutine.
func (d *Deployer) nixEvents(machine string, phase Phase) func(nix.Event) {
	w := &nixWatch{d: d, machine: machine, phase: phase}
	return w.on
}

func (w *nixWatch) on(e nix.Event) {
	now := w.d.o.Now()
	// Progress of single paths and files is not worth showing.
	counts := e.Activity == nix.Builds || e.Activity == nix.CopyPaths
	subject := e.Activity == nix.Build || e.Activity == nix.CopyPath || e.Activity == nix.Substitute
	// A build may take hours and say nothing: its name cannot wait.
	begins := e.Kind == nix.Started && e.Activity == nix.Build
	switch {
	case e.Kind == nix.Started && subject:
		w.name, w.step = e.Name(), ""
		w.d.log(now, w.machine, w.phase, e.Text)
	case e.Kind == nix.Phase:
		w.name, w.step = e.Name(), e.Text
	case e.Kind == nix.LogLine:
		w.d.log(now, w.machine, w.phase, e.Name()+"> "+e.Text)
	case e.Kind == nix.Message:
		w.d.log(now, w.machine, w.phase, e.Text)
	case e.Kind == nix.Progress && counts && e.Expected > 0:
		w.done, w.expected = e.Done, e.Expected
	}
	if text := w.text(); text != w.shown && (begins || now.Sub(w.told) >= nixPause) {
		w.told, w.shown = now, text
		w.d.show(w.machine, w.phase, text)
	}
}

// text is what Nix is at: "linux-6.12 (3 of 20), buildPhase".
func (w *nixWatch) text() string {
	text := w.name
	if text == "" {
		return ""
	}
	if w.expected > 1 {
		text += fmt.Sprintf(" (%d of %d)", min(w.done+1, w.expected), w.expected)
	}
	if w.step != "" {
		text += ", " + w.step
	}
	return text
}
