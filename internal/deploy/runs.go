package deploy

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Run is a recorded run in short.
type Run struct {
	ID      string    `json:"id"`
	Started time.Time `json:"started,omitzero"`
	// Ended is when its driver said last that it was at work; nothing while it is.
	Ended    time.Time `json:"ended,omitzero"`
	Owner    string    `json:"owner,omitempty"`
	Flake    string    `json:"flake,omitempty"`
	Goal     Goal      `json:"goal,omitempty"`
	Machines []string  `json:"machines,omitempty"`
	Outcome  Outcome   `json:"outcome"`
	// Text counts the machines: "6 done, 1 failed". Of a record that cannot be
	// read it says why.
	Text string `json:"text"`
}

// Outcome is how a run ended, if it has.
type Outcome string

// The outcomes. A run is cut off whose driver died before it was at its end.
const (
	RunDone        Outcome = "done"
	RunFailed      Outcome = "failed"
	RunRolledBack  Outcome = "rolled back"
	RunUnknown     Outcome = "unknown"
	RunInterrupted Outcome = "interrupted"
	RunUnderWay    Outcome = "under way"
	RunCutOff      Outcome = "cut off"
	RunUnreadable  Outcome = "unreadable"
)

// ListRuns tells of the recorded runs, the latest first.
func ListRuns(folder string) ([]Run, error) {
	list := []Run{}
	names, err := runNames(folder)
	if err != nil {
		return nil, fmt.Errorf("read the runs in %s: %w", folder, err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, ".") {
			continue
		}
		h, err := readHistory(filepath.Join(folder, name, recordName), false)
		if err != nil {
			list = append(list, Run{ID: name, Outcome: RunUnreadable, Text: err.Error()})
			continue
		}
		list = append(list, h.Run())
	}
	return list, nil
}

// Run is the history in short.
func (h *History) Run() Run {
	s := h.Summary()
	r := Run{
		ID: h.ID, Started: h.Started, Owner: h.Owner, Flake: h.Flake, Goal: h.Settings.Goal, Machines: h.Machines,
		Outcome: h.outcome(s), Text: s.Text(),
	}
	setDefault(&r.Goal, Switch)
	if h.Settings.Rollback {
		r.Goal = "rollback"
	}
	if n := len(h.sittings); n > 0 && !h.UnderWay {
		r.Ended = h.sittings[n-1].to
	}
	return r
}

func (h *History) outcome(s *Summary) Outcome {
	switch {
	case !h.Complete && h.UnderWay:
		return RunUnderWay
	case !h.Complete:
		return RunCutOff
	}
	switch s.ExitCode() {
	case exitDone:
		return RunDone
	case exitRolledBack:
		return RunRolledBack
	case exitUnknown:
		return RunUnknown
	case exitInterrupted:
		return RunInterrupted
	}
	return RunFailed
}

// sitsNow tells that a time is of the driver that is at work, not of one before it.
func (h *History) sitsNow(at time.Time) bool {
	n := len(h.sittings)
	return n > 0 && !at.Before(h.sittings[n-1].from)
}

// Summary is how the machines of a run stand, as far as its record tells: a
// machine that has not ended is not started, under way, or unknown when its
// driver died after it had begun an activation.
func (h *History) Summary() *Summary {
	s := &Summary{Run: h.ID}
	for _, name := range h.Machines {
		r, ended := h.Results[name]
		if ended {
			s.Results = append(s.Results, r)
			continue
		}
		r = Result{Machine: name, State: NotStarted, Message: "the run has not come to it"}
		ways := slices.DeleteFunc(slices.Clone(h.events), func(e Event) bool { return e.Machine != name })
		begun, activates := h.Begun[name]
		switch {
		case h.UnderWay && len(ways) > 0 && (activates || h.sitsNow(ways[len(ways)-1].Time)):
			r.State, r.Message = Running, ""
			r.Phase = ways[len(ways)-1].Phase
		case activates:
			r.State, r.Target, r.Phase = Unknown, begun.Target, Activate
			r.Err = errors.New("the driver of the run is gone; the machine goes on by itself")
			r.Message, r.Next = r.Err.Error(), "fleet machines attach "+h.ID
		case len(ways) > 0:
			r.State, r.Phase = Interrupted, ways[len(ways)-1].Phase
			r.Message = interruptedText(r.Phase)
		}
		s.Results = append(s.Results, r)
	}
	return s
}
