package term

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"
)

// Live shows one line per key (a machine, say) that changes in place on a
// terminal. Elsewhere every new state is printed as a line of its own, with the
// key before it.
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
	drawn int // lines of the last frame
	stop  chan struct{}
	done  sync.WaitGroup
}

type row struct {
	state, detail string
	color         Color
	since         time.Time
	finished      bool
}

// frames is how often a terminal is redrawn.
const frames = 100 * time.Millisecond

// NewLive starts a display; Stop must be called.
func NewLive(s *Streams, now func() time.Time) *Live {
	l := &Live{streams: s, now: now, rows: map[string]*row{}, stop: make(chan struct{})}
	if s.Tty != nil && !s.Quiet {
		l.done.Go(l.animate)
	}
	return l
}

// Set gives key a state (a phase, shown at once) and a detail (what it is doing,
// shown on a terminal only).
func (l *Live) Set(key, state, detail string) { l.set(key, state, detail, "", false) }

// Finish gives key its last state, in a colour.
func (l *Live) Finish(key, state, detail string, c Color) { l.set(key, state, detail, c, true) }

func (l *Live) set(key, state, detail string, c Color, finished bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r, known := l.rows[key]
	if !known {
		r = &row{since: l.now()}
		l.rows[key] = r
		l.order = append(l.order, key)
	}
	changed := r.state != state || r.finished != finished
	if changed {
		r.since = l.now()
	}
	r.state, r.detail, r.color, r.finished = state, Clean(detail), c, finished
	if changed && l.streams.Tty == nil && !l.streams.Quiet {
		line := state
		if finished && detail != "" {
			line += ": " + Clean(detail)
		}
		fmt.Fprintf(l.streams.Err, "%s: %s\n", key, line)
	}
}

// Log prints a line above the live ones.
func (l *Live) Log(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	l.erase(&b)
	fmt.Fprintf(&b, format+"\n", args...)
	l.frame(&b)
	io.WriteString(l.streams.Err, b.String())
}

// Stop draws the last frame and leaves it on the screen.
func (l *Live) Stop() {
	close(l.stop)
	l.done.Wait()
}

func (l *Live) animate() {
	tick := time.NewTicker(frames)
	defer tick.Stop()
	last := ""
	draw := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		var b strings.Builder
		l.erase(&b)
		l.frame(&b)
		if b.String() != last {
			io.WriteString(l.streams.Err, b.String())
			last = b.String()
		}
	}
	for {
		select {
		case <-tick.C:
			draw()
		case <-l.stop:
			draw()
			return
		}
	}
}

// erase moves to the top of the last frame, clearing each of its lines.
func (l *Live) erase(b *strings.Builder) {
	for range l.drawn {
		b.WriteString("\x1b[1A\r\x1b[K")
	}
	l.drawn = 0
}

func (l *Live) frame(b *strings.Builder) {
	if l.streams.Tty == nil || l.streams.Quiet {
		return
	}
	width, height := l.streams.size()
	room := max(1, height-2)
	shown := l.order
	if len(shown) > room {
		shown = shown[:0:0]
		for _, finished := range []bool{false, true} { // those under way first
			for _, key := range l.order {
				if l.rows[key].finished == finished && len(shown) < room-1 {
					shown = append(shown, key)
				}
			}
		}
	}
	pad := 0
	for _, key := range shown {
		pad = max(pad, runewidth.StringWidth(key))
	}
	for _, key := range shown {
		r := l.rows[key]
		age := ""
		if d := l.now().Sub(r.since); !r.finished && d >= time.Second {
			age = fmt.Sprintf("%ds ", int(d.Seconds()))
		}
		name := runewidth.FillRight(key, pad)
		rest := runewidth.Truncate(age+r.detail, max(0, width-pad-runewidth.StringWidth(r.state)-4), "…")
		fmt.Fprintf(b, "%s  %s  %s\n", name, l.streams.Paint(r.color, r.state), rest)
		l.drawn++
	}
	if hidden := len(l.order) - len(shown); hidden > 0 {
		fmt.Fprintf(b, "… and %d more\n", hidden)
		l.drawn++
	}
}
