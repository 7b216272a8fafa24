package term

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"
)

// Live shows one line per key (a machine, say) that changes in place on a
// terminal. Elsewhere it prints a line, with the key before it, only for what
// takes longer than patience and for what does not end well.
//
// Frames are drawn by clearing line by line, never below the cursor, and are cut
// to the window: anything else leaves junk in the scrollback (measured, see
// research/go-anchors.md B10 of the design).
type Live struct {
	streams *Streams
	now     func() time.Time

	mu    sync.Mutex
	order []string
	rows  map[string]*row
	drawn int    // lines of the last frame
	last  string // the last frame
	away  int    // how many prompts and programs have the terminal for themselves
	stop  chan struct{}
	done  sync.WaitGroup
}

type row struct {
	state, detail string
	color         Color
	since         time.Time
	finished      bool
	said          string // the state printed last, where there is no terminal
}

const (
	// frames is how often a terminal is redrawn.
	frames = 100 * time.Millisecond
	// patience is how long a state may last elsewhere before it is printed.
	patience = 5 * time.Second
)

// NewLive starts a display, one at a time; Stop or Clear must be called. What
// the streams print meanwhile appears above its lines.
func NewLive(s *Streams, now func() time.Time) *Live {
	l := &Live{streams: s, now: now, rows: map[string]*row{}, stop: make(chan struct{})}
	s.mu.Lock()
	s.live = l
	s.mu.Unlock()
	if !s.Quiet {
		l.done.Go(l.run)
	}
	return l
}

// Set gives key a state (a phase) and a detail (what it is doing, shown on a
// terminal only).
func (l *Live) Set(key, state, detail string) { l.set(key, row{state: state, detail: detail}) }

// Finish gives key its last state, in a colour; Green is for what ended well.
func (l *Live) Finish(key, state, detail string, c Color) {
	l.set(key, row{state: state, detail: detail, color: c, finished: true})
}

// Remove takes the line of key away.
func (l *Live) Remove(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key = Clean(key)
	delete(l.rows, key)
	l.order = slices.DeleteFunc(l.order, func(other string) bool { return other == key })
}

func (l *Live) set(key string, r row) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key, r.detail, r.since = Clean(key), Clean(r.detail), l.now()
	old := l.rows[key]
	if old == nil {
		l.order = append(l.order, key)
		old = &row{}
	}
	if old.state == r.state && old.finished == r.finished {
		r.since = old.since
	}
	r.said = old.said
	l.rows[key] = &r
	if r.finished && !old.finished && (r.said != "" || r.color != Green) {
		l.say(key, &r)
	}
}

// say prints a state where there is no terminal to show it on.
func (l *Live) say(key string, r *row) {
	r.said = r.state
	if l.streams.Tty != nil || l.streams.Quiet {
		return
	}
	line := key + ": " + r.state
	if r.finished && r.detail != "" {
		line += ": " + r.detail
	}
	fmt.Fprintln(l.streams.Err, line)
}

// above prints lines above the live ones.
func (l *Live) above(lines string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	l.erase(&b)
	b.WriteString(lines)
	l.last = l.frame(&b, l.visible())
	io.WriteString(l.streams.Err, b.String())
}

// hide takes the lines away until show.
func (l *Live) hide() {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	l.erase(&b)
	io.WriteString(l.streams.Err, b.String())
	l.away++
}

func (l *Live) show() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away--
}

// Stop draws the last state of every line and leaves it on the screen.
func (l *Live) Stop() { l.end(l.summary()) }

// Clear takes the lines away: something better follows.
func (l *Live) Clear() { l.end(nil) }

func (l *Live) end(shown []string) {
	close(l.stop)
	l.done.Wait()
	l.streams.mu.Lock()
	l.streams.live = nil
	l.streams.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	l.erase(&b)
	if len(shown) > 0 {
		l.frame(&b, shown)
	}
	io.WriteString(l.streams.Err, b.String())
}

func (l *Live) run() {
	tick := time.NewTicker(frames)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.tick()
		case <-l.stop:
			return
		}
	}
}

// tick draws a frame, or where there is no terminal says what takes long.
func (l *Live) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.streams.Tty == nil {
		for _, key := range l.order {
			if r := l.rows[key]; !r.finished && r.said != r.state && l.now().Sub(r.since) >= patience {
				l.say(key, r)
			}
		}
		return
	}
	var b strings.Builder
	drawn := l.drawn
	l.erase(&b)
	if frame := l.frame(&b, l.visible()); frame != l.last || drawn != l.drawn {
		io.WriteString(l.streams.Err, b.String())
		l.last = frame
	}
}

// erase moves to the top of the last frame, clearing each of its lines.
func (l *Live) erase(b *strings.Builder) {
	for range l.drawn {
		b.WriteString("\x1b[1A\r\x1b[K")
	}
	l.drawn = 0
}

// visible are the keys that fit into the window: first those under way, then
// those that did not end well, then the rest.
func (l *Live) visible() []string {
	_, height := l.streams.size()
	room := max(1, height-2)
	if len(l.order) <= room {
		return l.order
	}
	var shown []string
	for rank := range 3 {
		for _, key := range l.order {
			if l.rows[key].rank() == rank && len(shown) < room-1 {
				shown = append(shown, key)
			}
		}
	}
	return shown
}

// summary are the keys that stay: all, or where they are more than the window
// has lines those that did not end well and what else fits.
func (l *Live) summary() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	visible := map[string]bool{}
	for _, key := range l.visible() {
		visible[key] = true
	}
	var shown []string
	for _, key := range l.order {
		if visible[key] || l.rows[key].rank() < 2 {
			shown = append(shown, key)
		}
	}
	return shown
}

func (r *row) rank() int {
	switch {
	case !r.finished:
		return 0
	case r.color != Green:
		return 1
	}
	return 2
}

// frame writes the lines of some keys and returns them.
func (l *Live) frame(b *strings.Builder, shown []string) string {
	if l.streams.Tty == nil || l.streams.Quiet || l.away > 0 {
		return ""
	}
	width, _ := l.streams.size()
	pad, statePad := 0, 0
	for _, key := range shown {
		pad = max(pad, runewidth.StringWidth(key))
		statePad = max(statePad, runewidth.StringWidth(l.rows[key].state))
	}
	pad = min(pad, width/2)
	statePad = min(statePad, width-pad-3) // one column stays free: a full line would wrap on some terminals
	start := b.Len()
	for _, key := range shown {
		r := l.rows[key]
		rest := r.detail
		if d := l.now().Sub(r.since); !r.finished && d >= time.Second {
			rest = strings.TrimSpace(fmt.Sprintf("%ds %s", int(d.Seconds()), rest))
		}
		name := runewidth.FillRight(cut(key, pad), pad)
		state := cut(r.state, statePad)
		rest = cut(rest, width-pad-statePad-5)
		line := name + "  " + l.streams.Paint(r.color, state)
		if rest != "" {
			line += strings.Repeat(" ", statePad-runewidth.StringWidth(state)) + "  " + rest
		}
		b.WriteString(line + "\n")
		l.drawn++
	}
	if hidden := len(l.order) - len(shown); hidden > 0 {
		b.WriteString(cut(fmt.Sprintf("… and %d more", hidden), width-1) + "\n")
		l.drawn++
	}
	return b.String()[start:]
}

// cut shortens a text to a width in cells, down to nothing.
func cut(text string, width int) string {
	if width <= 0 {
		return ""
	}
	return runewidth.Truncate(text, width, "…")
}
