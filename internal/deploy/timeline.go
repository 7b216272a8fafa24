package deploy

import (
	"slices"
	"time"
)

// Timeline is a run in time: what each machine was at, and when.
type Timeline struct {
	Run
	Ways []TimedWay `json:"ways"`

	sittings []sitting
}

// TimedWay is the way of one machine.
type TimedWay struct {
	Result
	Spans []Span `json:"spans"`
}

// Span is one phase of one machine.
type Span struct {
	Phase Phase `json:"phase"`
	// State is Done, or why the phase came to no end: Running as long as it may.
	State State     `json:"state"`
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
}

// Length is how long the phase took. A clock that was set back makes it nothing.
func (s Span) Length() time.Duration { return sitting{s.From, s.To}.length() }

// sitting is the time that one driver was at work on a run.
type sitting struct{ from, to time.Time }

// longest bounds what a broken clock, or a broken record, can make of a run.
const longest = 365 * 24 * time.Hour

func (s sitting) length() time.Duration { return min(max(0, s.to.Sub(s.from)), longest) }

// Timeline says what the run did when; one that is under way does it still now.
func (h *History) Timeline(now time.Time) *Timeline {
	if h.UnderWay {
		h.heard(now)
	}
	t := &Timeline{Run: h.Run(), Ways: []TimedWay{}, sittings: h.sittings}
	spans := h.spans()
	for _, r := range h.Summary().Results {
		t.Ways = append(t.Ways, TimedWay{Result: r, Spans: spans[r.Machine]})
	}
	return t
}

// spans are the phases of each machine.
func (h *History) spans() map[string][]Span {
	spans := map[string][]Span{}
	for _, name := range h.Machines {
		spans[name] = []Span{}
	}
	at := 0 // the sitting
	for _, e := range h.events {
		for at+1 < len(h.sittings) && !e.Time.Before(h.sittings[at+1].from) {
			cutOff(spans, h.sittings[at].to)
			at++
		}
		list := spans[e.Machine]
		var open *Span
		if n := len(list); n > 0 && list[n-1].State == Running {
			open = &list[n-1]
		}
		switch {
		case e.State == Started:
			if open != nil { // whose end was not told
				open.State, open.To = Done, e.Time
			}
			list = append(list, Span{Phase: e.Phase, State: Running, From: e.Time, To: e.Time})
		case e.Phase == End && open != nil:
			open.State, open.To = e.State, e.Time
		case e.Phase == End && e.State != Done && e.State != Unchanged:
			list = append(list, Span{Phase: End, State: e.State, From: e.Time, To: e.Time})
		case open != nil && open.Phase == e.Phase:
			open.State, open.To = Done, e.Time
		}
		spans[e.Machine] = list
	}
	if n := len(h.sittings); n > 0 {
		if !h.UnderWay {
			cutOff(spans, h.sittings[n-1].to)
		}
		for _, list := range spans {
			if m := len(list); m > 0 && list[m-1].State == Running {
				list[m-1].To = h.sittings[n-1].to
			}
		}
	}
	return spans
}

// cutOff ends what was under way when a driver was last heard of.
func cutOff(spans map[string][]Span, at time.Time) {
	for _, list := range spans {
		if n := len(list); n > 0 && list[n-1].State == Running {
			list[n-1].State, list[n-1].To = Interrupted, at
		}
	}
}

// Length is how long the run was worked on; the time between two drivers does
// not count.
func (t *Timeline) Length() (length time.Duration) {
	for _, s := range t.sittings {
		length = min(length+s.length(), longest)
	}
	return length
}

// offset is where a time lies in that.
func (t *Timeline) offset(at time.Time) (offset time.Duration) {
	for _, s := range t.sittings {
		if !at.After(s.to) {
			return min(offset+min(max(0, at.Sub(s.from)), longest), longest)
		}
		offset = min(offset+s.length(), longest)
	}
	return offset
}

// phasesInOrder are those that machines go through.
var phasesInOrder = []Phase{Evaluate, Reach, Build, Copy, Secrets, Activate, Confirm, Health}

// Phases are those of the run, in their order.
func (t *Timeline) Phases() (phases []Phase) {
	for _, p := range phasesInOrder {
		if slices.ContainsFunc(t.Ways, func(w TimedWay) bool { return w.In(p) > 0 }) {
			phases = append(phases, p)
		}
	}
	for _, w := range t.Ways {
		for _, s := range w.Spans {
			if s.Phase != End && !slices.Contains(phasesInOrder, s.Phase) && !slices.Contains(phases, s.Phase) {
				phases = append(phases, s.Phase)
			}
		}
	}
	return phases
}

// In is how long the machine was in a phase.
func (w TimedWay) In(phase Phase) (length time.Duration) {
	for _, s := range w.Spans {
		if s.Phase == phase {
			length += s.Length()
		}
	}
	return length
}

// Length is how long all of its phases took.
func (w TimedWay) Length() (length time.Duration) {
	for _, s := range w.Spans {
		length += s.Length()
	}
	return length
}
