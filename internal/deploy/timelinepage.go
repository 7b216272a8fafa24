package deploy

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"
)

//go:embed timelinepage.html
var timelinePage string

// The measures of the drawing, in units of the SVG.
const (
	pageWidth  = 1000.0
	pageNames  = 170.0 // the column of the machines' names
	pageRow    = 30
	pageBar    = 18
	pageAxis   = 26
	pageMargin = 24.0 // right of the axis
	nameLength = 22
	// minBar keeps a phase visible that took next to nothing.
	minBar = 1.5
	// maxTicks is how many times the axis is marked with, at most.
	maxTicks = 9
)

// WritePage draws the run as a page that needs nothing from elsewhere: no
// script, no font, no picture. The same timeline makes the same page.
func (t *Timeline) WritePage(w io.Writer) error {
	tmpl, err := template.New("timeline").Parse(timelinePage)
	if err != nil {
		return fmt.Errorf("draw the timeline: %w", err)
	}
	var page bytes.Buffer
	if err := tmpl.Execute(&page, t.drawing()); err != nil {
		return fmt.Errorf("draw the timeline: %w", err)
	}
	_, err = w.Write(page.Bytes())
	return err
}

// drawing is what the template knows.
type drawing struct {
	Run
	When, Took    string
	Width, Height string
	Axis          string // the y of the axis
	Left, Right   string
	Phases        []Phase
	Ticks         []tick
	Breaks        []tick
	Rows          []drawnRow
}

type tick struct{ X, Label string }

type drawnRow struct {
	Machine, Name  string
	State          State
	Class          string
	Middle         string // the y of its text
	Bars           []bar
	Mark           string // the x of the mark of a failure
	Took           string
	Times          []string // by phase
	Reason         string
	Next, Log, Out string
}

type bar struct {
	Phase           Phase
	Class           string
	X, Y, W, H, Tip string
}

func (t *Timeline) drawing() drawing {
	length := t.Length()
	scale := (pageWidth - pageNames - pageMargin) / max(length.Seconds(), 0.001)
	x := func(at time.Duration) float64 { return pageNames + at.Seconds()*scale }
	bottom := pageAxis + pageRow*len(t.Ways)
	d := drawing{
		Run: t.Run, When: t.Started.Format("2006-01-02 15:04:05 -0700"), Took: Took(length),
		Width: number(pageWidth), Height: number(float64(bottom + 8)), Axis: number(pageAxis),
		Left: number(pageNames), Right: number(pageWidth - pageMargin), Phases: t.Phases(),
	}
	step := tickStep(length)
	for at := time.Duration(0); at <= length; at += step {
		d.Ticks = append(d.Ticks, tick{number(x(at)), Took(at)})
	}
	for i, s := range t.sittings[min(1, len(t.sittings)):] {
		before := t.sittings[i].to
		d.Breaks = append(d.Breaks, tick{
			number(x(t.offset(before))),
			fmt.Sprintf("gone on with at %s, %s later", s.from.Format("2006-01-02 15:04:05"), Took(s.from.Sub(before))),
		})
	}
	for i, w := range t.Ways {
		top := pageAxis + pageRow*i
		row := drawnRow{
			Machine: w.Machine, Name: shortened(w.Machine, nameLength), State: w.State, Class: stateClass(w.State),
			Middle: number(float64(top) + pageRow/2 + 4), Took: Took(w.Length()),
			Next: w.Next, Log: w.Log, Out: w.Out, Reason: w.Message,
		}
		for _, p := range d.Phases {
			text := ""
			if in := w.In(p); in > 0 {
				text = Took(in)
			}
			row.Times = append(row.Times, text)
		}
		for _, s := range w.Spans {
			from := x(t.offset(s.From))
			if s.Phase != End {
				row.Bars = append(row.Bars, bar{
					Phase: s.Phase, Class: stateClass(s.State), X: number(from), Y: number(float64(top + (pageRow-pageBar)/2)),
					W: number(max(minBar, x(t.offset(s.To))-from)), H: number(pageBar), Tip: s.tip(w.Machine),
				})
			}
			if stateClass(s.State) == "bad" {
				row.Mark = number(x(t.offset(s.To)))
			}
		}
		d.Rows = append(d.Rows, row)
	}
	return d
}

func (s Span) tip(machine string) string {
	tip := fmt.Sprintf("%s: %s, %s from %s", machine, s.Phase, Took(s.Length()), s.From.Format("15:04:05"))
	if s.State != Done {
		tip += ", " + string(s.State)
	}
	return tip
}

// stateClass is how a state is drawn.
func stateClass(s State) string {
	switch s {
	case Done, Unchanged:
		return "good"
	case Failed, RolledBack, Unknown:
		return "bad"
	}
	return "open"
}

// number is a measure as SVG has it; one decimal is finer than a screen.
func number(f float64) string { return strings.TrimSuffix(fmt.Sprintf("%.1f", f), ".0") }

func shortened(text string, length int) string {
	if r := []rune(text); len(r) > length {
		return string(r[:length-1]) + "…"
	}
	return text
}

// tickStep is a round step that marks a length with few enough ticks.
func tickStep(length time.Duration) time.Duration {
	const day = 24 * time.Hour
	for _, step := range []time.Duration{
		100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	} {
		if length/step < maxTicks {
			return step
		}
	}
	return max(day, (length/maxTicks).Round(day)+day)
}

// Took is a length of time as people read it: 0.4s, 12s, 3m05s, 2h10m.
func Took(d time.Duration) string {
	switch {
	case d <= 0:
		return "0s"
	case d < 10*time.Second:
		return strings.Replace(fmt.Sprintf("%.1fs", d.Seconds()), ".0s", "s", 1)
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}
