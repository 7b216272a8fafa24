package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/nix"
)

func TestMachineLog(t *testing.T) {
	folder := t.TempDir()
	r := newRecord(t, folder, "1", "a", "../../b")
	var shown []string
	d := New(Options{Now: clock(recordStart), Run: "1", Record: r, OnEvent: func(e Event) { shown = append(shown, e.Message) }})
	if path := r.logOf("a"); path != "" {
		t.Errorf("there is a log of nothing: %s", path)
	}
	d.secrets.hide("a", []byte("hunter2-hunter2"))
	d.emit("a", Build, Started, "")
	on := d.nixEvents("a", Build)
	linux := nix.Event{Activity: nix.Build, Path: "/nix/store/00000000000000000000000000000000-linux-6.12.drv"}
	for _, e := range []nix.Event{
		{Kind: nix.Progress, Activity: nix.Builds, Done: 1, Expected: 3},
		{Kind: nix.Started, Activity: linux.Activity, Path: linux.Path, Text: "building linux"},
		{Kind: nix.Phase, Activity: linux.Activity, Path: linux.Path, Text: "buildPhase"},
		{Kind: nix.LogLine, Activity: linux.Activity, Path: linux.Path, Text: "cc -o linux"},
		{Kind: nix.Message, Text: "warning: it\nis hot"},
	} {
		on(e)
	}
	d.emit("a", Activate, Running, "the word is hunter2-hunter2\x1b[2J")
	d.emit("../../b", Reach, Started, "")
	r2 := d.conclude(Result{Machine: "a", State: Failed, Message: "it broke"})
	path := filepath.Join(folder, "1", "a.log")
	if r2.Log != path {
		t.Errorf("the log is at %q, want %q", r2.Log, path)
	}
	if err := r.Close(recordStart); err != nil {
		t.Fatal(err)
	}
	want := `15:04:05          run 1, Fri, 02 Jan 2026 15:04:05 +0000
15:04:05 build    started
15:04:05 build    building linux
15:04:05 build    linux-6.12> cc -o linux
15:04:05 build    warning: it
15:04:05 build    is hot
15:04:05 activate the word is ********[2J
15:04:05 end      failed: it broke
`
	if got := read(t, path); got != want {
		t.Errorf("the log is\n%s", got)
	}
	read(t, filepath.Join(folder, "1", "..%2F..%2Fb.log"))
	// The clock stands still: the first of Nix's events is shown, and no more.
	if got := strings.Join(shown, "|"); got != "|linux-6.12 (2 of 3)|the word is ********\x1b[2J||it broke" {
		t.Errorf("shown is %q", got)
	}
	if text := read(t, filepath.Join(folder, "1", recordName)); strings.Contains(text, "hunter2") || strings.Contains(text, "the word") {
		t.Errorf("the record tells what was printed: %s", text)
	}
}

// A machine that prints without end does not fill the disk: the beginning and
// the end of what it said are kept, in whole lines, also when it is gone on with.
func TestMachineLogIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	const lines = 250_000
	for from := 0; from < lines; from += lines / 2 {
		l, err := openMachineLog(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := range lines / 2 {
			if err := l.add(recordStart, Build, fmt.Sprintf("line %d of very many", from+i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
	}
	text := read(t, path)
	if len(text) > maxMachineLog+100 {
		t.Errorf("the log has %d bytes", len(text))
	}
	got := strings.Split(strings.TrimSpace(text), "\n")
	if got[0] != "15:04:05 build    line 0 of very many" || got[len(got)-1] != fmt.Sprintf("15:04:05 build    line %d of very many", lines-1) {
		t.Errorf("from %q to %q", got[0], got[len(got)-1])
	}
	marks := 0
	for _, line := range got {
		if line+"\n" == leftOut {
			marks++
		} else if !strings.HasPrefix(line, "15:04:05 build    line ") || !strings.HasSuffix(line, " of very many") {
			t.Fatalf("a line is cut: %q", line)
		}
	}
	if marks != 1 {
		t.Errorf("%d times something is left out", marks)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
}

// A log that cannot be written stops nothing, and is told once.
func TestMachineLogFails(t *testing.T) {
	folder := t.TempDir()
	r := newRecord(t, folder, "1", "a")
	if err := os.Mkdir(filepath.Join(folder, "1", "a.log"), 0o700); err != nil {
		t.Fatal(err)
	}
	d := New(Options{Now: clock(recordStart), Run: "1", Record: r})
	d.emit("a", Build, Started, "")
	if got := d.conclude(Result{Machine: "a", State: Failed}); got.Log != "" {
		t.Errorf("it names the log %s", got.Log)
	}
	if err := r.Close(recordStart); err == nil || !strings.Contains(err.Error(), "write the log of a: ") {
		t.Errorf("%v", err)
	}
	if h, err := ReadRecord(folder, "1"); err != nil || !h.Complete || h.Results["a"].State != Failed {
		t.Errorf("%+v, %v", h, err)
	}
}

func clock(at time.Time) func() time.Time { return func() time.Time { return at } }

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(data)
}
