package term

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// A fleet larger than the window, with long names, wide letters and foreign
// text: no line wraps, nothing that was said is lost, no failure is hidden.
func TestLiveOnTerminal(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {40, 8}, {10, 3}, {200, 60}} {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			_, tty := terminal(t, size[0], size[1])
			var out buffer
			streams := &Streams{Err: &out, Tty: tty, Color: true}
			now := time.Unix(0, 0)
			live := NewLive(streams, func() time.Time { return now })
			random := rand.New(rand.NewPCG(1, uint64(size[0])))
			var keys, failed, said []string
			for i := range 30 {
				keys = append(keys, fmt.Sprintf("m%02d-%s", i, strings.Repeat("界x", i)))
			}
			for range 200 {
				key := keys[random.IntN(len(keys))]
				switch random.IntN(5) {
				case 0:
					line := fmt.Sprintf("s%d.", len(said))
					said = append(said, line)
					streams.Say("%s", line)
				case 1:
					line := fmt.Sprintf("s%d.", len(said))
					said = append(said, line)
					streams.Interject(line)
				default:
					live.Set(key, "copy", "\x1b[2J"+strings.Repeat("detail\n", random.IntN(40)))
				}
				live.tick()
			}
			live.Set("gone", "copy", "")
			live.tick()
			live.Remove("gone")
			for i, key := range keys {
				if i%3 == 0 {
					failed = append(failed, key[:4])
					live.Finish(key, "failed", "no", Red)
				} else {
					live.Finish(key, "done", "", Green)
				}
			}
			live.tick()
			live.Stop()

			screen := &vt{width: size[0], height: size[1]}
			screen.write(t, out.String())
			if screen.wrapped > 0 {
				t.Errorf("%d lines were longer than the window", screen.wrapped)
			}
			all := strings.Join(screen.lines, "\n")
			for _, line := range said {
				if n := strings.Count(all, line+"\n"); n != 1 {
					t.Errorf("%q is there %d times", line, n)
				}
			}
			if strings.Contains(all, "gone") {
				t.Error("what was removed is there")
			}
			for _, key := range failed {
				if n := strings.Count(all, key); n != 1 {
					t.Errorf("the failed %s is there %d times", key, n)
				}
			}
			if t.Failed() {
				t.Log(screen)
			}
		})
	}
}

// What ended badly is shown rather than what ended well.
func TestLiveRoom(t *testing.T) {
	_, tty := terminal(t, 40, 6)
	var out buffer
	live := NewLive(&Streams{Err: &out, Tty: tty}, time.Now)
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		live.Finish(key, "done", "", Green)
	}
	live.Finish("z", "failed", "", Red)
	live.Set("y", "build", "")
	live.tick()
	live.Stop()
	screen := &vt{width: 40, height: 6}
	screen.write(t, out.String())
	if got, want := strings.Join(screen.screen(), "\n"), "a  done\nz  failed\ny  build\n… and 5 more\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What machines are doing begins in one column.
func TestLiveColumns(t *testing.T) {
	_, tty := terminal(t, 40, 8)
	var out buffer
	live := NewLive(&Streams{Err: &out, Tty: tty, Color: true}, func() time.Time { return time.Unix(0, 0) })
	live.Set("one", "build", "a path")
	live.Set("three", "waiting", "copy done")
	live.Finish("four", "done", "", Green)
	live.Finish("five", "failed", "no room", Red)
	live.Stop()
	screen := &vt{width: 40, height: 8}
	screen.write(t, out.String())
	want := "one    build    a path\nthree  waiting  copy done\nfour   done\nfive   failed   no room\n"
	if got := strings.Join(screen.screen(), "\n"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLiveClear(t *testing.T) {
	_, tty := terminal(t, 40, 8)
	var out buffer
	streams := &Streams{Err: &out, Tty: tty}
	live := NewLive(streams, time.Now)
	live.Set("evaluating", "8 machines", "")
	live.tick()
	streams.Warn("old")
	live.hide()
	streams.Say("a question")
	live.show()
	live.tick()
	live.Clear()
	streams.Say("the table")
	screen := &vt{width: 40, height: 8}
	screen.write(t, out.String())
	if got, want := strings.Join(screen.lines, "\n"), "warning: old\na question\nthe table\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// What prints for itself meanwhile has the terminal for itself.
func TestLiveAside(t *testing.T) {
	_, tty := terminal(t, 40, 8)
	var out buffer
	streams := &Streams{Out: &out, Err: &out, Tty: tty}
	live := NewLive(streams, time.Now)
	live.Set("one", "activate", "")
	live.tick()
	err := streams.Lend(func(in io.Reader, to io.Writer) error {
		live.Set("one", "confirm", "")
		live.tick()
		fmt.Fprintln(to, "[sudo] password: ")
		if in != tty {
			t.Error("it cannot ask")
		}
		err := streams.Print(streams.Out, "one | hello\n")
		live.tick()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	live.tick()
	live.Stop()
	screen := &vt{width: 40, height: 8}
	screen.write(t, out.String())
	if got, want := strings.Join(screen.lines, "\n"), "[sudo] password: \none | hello\none  confirm\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	streams.Tty = nil
	err = streams.Lend(func(in io.Reader, _ io.Writer) error {
		if in != nil {
			t.Error("it has an input that nobody types")
		}
		return io.EOF
	})
	if err != io.EOF {
		t.Errorf("its error is lost: %v", err)
	}
}

// Where there is no terminal only what takes long and what goes wrong is said.
func TestLivePlain(t *testing.T) {
	var out buffer
	now := time.Unix(0, 0)
	live := NewLive(&Streams{Err: &out}, func() time.Time { return now })
	step := func(d time.Duration) { now = now.Add(d); live.tick() }
	live.Set("quick", "build", "")
	live.Set("slow", "build", "")
	live.Set("bad", "build", "")
	step(time.Second)
	live.Finish("quick", "done", "", Green)
	live.Finish("bad", "failed", "no\nroom", Red)
	step(4 * time.Second)
	step(time.Second)
	live.Set("slow", "copy", "a path")
	step(time.Second)
	live.Finish("slow", "done", "", Green)
	live.Stop()
	if got, want := out.String(), "bad: failed: no room\nslow: build\nslow: done\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLiveQuiet(t *testing.T) {
	_, tty := terminal(t, 40, 8)
	for _, streams := range []*Streams{{Quiet: true}, {Quiet: true, Tty: tty}} {
		var out buffer
		streams.Err = &out
		live := NewLive(streams, time.Now)
		live.Set("a", "build", "")
		live.Finish("a", "failed", "", Red)
		live.tick()
		live.Stop()
		if strings.Trim(out.String(), "\n") != "" {
			t.Errorf("--quiet prints %q", out.String())
		}
	}
}
