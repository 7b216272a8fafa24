package deploy

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// written is the record of a run: four machines that end in different ways, a
// driver that dies, and one that goes on with its run an hour later.
func written(t *testing.T, folder string, complete bool) *Record {
	t.Helper()
	now := recordStart
	h := Header{
		ID: "20260102-150405-000-0123abcd", Started: now, Owner: "ada@home", Flake: "/fleets/<home>",
		Machines: []string{"cinnabar", "electrum", "galena", "rosegold", "scheelite"}, Settings: Settings{Goal: Switch},
	}
	r, err := CreateRecord(folder, h)
	if err != nil {
		t.Fatal(err)
	}
	d := New(Options{Now: func() time.Time { return now }, Run: h.ID, Record: r})
	at := func(seconds float64, machine string, phase Phase, state State, message string) {
		now = recordStart.Add(time.Duration(seconds * float64(time.Second)))
		if phase == End {
			d.conclude(Result{Machine: machine, Target: "ssh://" + machine, State: state, Message: message, Phase: Activate, Next: map[bool]string{true: "fleet machines update " + machine}[state == RolledBack]})
			return
		}
		d.emit(machine, phase, state, message)
	}
	for _, name := range h.Machines[:4] {
		at(0, name, Evaluate, Started, "")
	}
	at(2.5, "cinnabar", Evaluate, Done, "")
	at(2.5, "cinnabar", Reach, Started, "")
	at(2.7, "galena", Evaluate, Done, "")
	at(2.7, "galena", Reach, Started, "")
	at(2.75, "galena", Reach, Done, "")
	at(2.75, "galena", End, Unchanged, "")
	at(3, "cinnabar", Reach, Done, "")
	at(3, "cinnabar", Build, Started, "")
	at(4, "electrum", Evaluate, Done, "")
	at(4, "electrum", Reach, Started, "")
	at(9, "rosegold", End, Failed, "it does not evaluate: <script>alert(1)</script>")
	at(14, "electrum", End, Unknown, "electrum was lost")
	at(31, "cinnabar", Build, Done, "/nix/store/x")
	at(31, "cinnabar", Copy, Started, "")
	at(45, "cinnabar", Copy, Running, "linux (1 of 3)")
	if err := r.file.Close(); err != nil { // the driver dies
		t.Fatal(err)
	}
	now = recordStart.Add(time.Hour)
	if d.o.Record, _, err = ResumeRecord(folder, h.ID, now); err != nil {
		t.Fatal(err)
	}
	at(3600, "cinnabar", Copy, Started, "")
	at(3602, "cinnabar", Copy, Done, "")
	at(3602, "cinnabar", Activate, Started, "")
	at(3609, "cinnabar", Activate, Done, "")
	at(3609, "cinnabar", Confirm, Started, "")
	at(3612, "cinnabar", End, RolledBack, "units failed: nginx.service; the machine is back on generation 41")
	at(3612, "scheelite", Reach, Started, "")
	if complete {
		at(3614, "scheelite", Reach, Done, "")
		at(3614, "scheelite", Activate, Started, "")
		at(3620.4, "scheelite", Activate, Done, "")
		at(3620.4, "scheelite", End, Done, "")
		if err := d.o.Record.Close(now); err != nil {
			t.Fatal(err)
		}
	}
	return d.o.Record
}

func timelineOf(t *testing.T, folder string) *Timeline {
	t.Helper()
	h, err := ReadRecord(folder, "2026")
	if err != nil {
		t.Fatal(err)
	}
	return h.Timeline(recordStart.Add(2 * time.Hour))
}

func TestTimeline(t *testing.T) {
	folder := t.TempDir()
	written(t, folder, true)
	line := timelineOf(t, folder)
	if line.Outcome != RunUnknown || line.Text != "1 done, 1 unchanged, 1 failed, 1 rolled back, 1 unknown" {
		t.Errorf("%s: %s", line.Outcome, line.Text)
	}
	// 45 s until the driver was last heard of, and 20.4 s of the second one.
	if got := line.Length(); got != 65400*time.Millisecond {
		t.Errorf("it took %s", got)
	}
	var got []string
	for _, s := range line.Ways[0].Spans {
		got = append(got, string(s.Phase)+" "+string(s.State)+" "+s.Length().String())
	}
	want := []string{
		"evaluate done 2.5s", "reach done 500ms", "build done 28s", "copy interrupted 14s", "copy done 2s", "activate done 7s", "confirm rolled back 3s",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// The page is the same for the same run, and what machines say is text in it.
func TestTimelinePage(t *testing.T) {
	folder := t.TempDir()
	written(t, folder, true)
	line := timelineOf(t, folder)
	for i := range line.Ways {
		line.Ways[i].Log = strings.Replace(line.Ways[i].Log, folder, "/state", 1)
	}
	var page bytes.Buffer
	if err := line.WritePage(&page); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "timeline.html")
	if *update {
		if err := os.WriteFile(golden, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(read(t, golden), page.String()); diff != "" {
		t.Errorf("the page is another; if it should be, run `go test ./internal/deploy -run TimelinePage -update`: %s", diff)
	}
	for _, foreign := range []string{"<script", "http://", "https://", "url(", "@import", "/fleets/<home>"} {
		if strings.Contains(page.String(), foreign) {
			t.Errorf("%s is in the page", foreign)
		}
	}
}

// Runs that are not at their end, of no machines, and with a clock that is set
// back, are drawn too.
func TestTimelineOfLittle(t *testing.T) {
	folder := t.TempDir()
	r := written(t, folder, false)
	line := timelineOf(t, folder)
	last := line.Ways[4]
	if line.Outcome != RunUnderWay || last.State != Running || last.Spans[0].State != Running {
		t.Errorf("%s, %+v", line.Outcome, last)
	}
	if now := recordStart.Add(2 * time.Hour); !last.Spans[0].To.Equal(now) || !line.Ended.IsZero() || line.Text != "1 unchanged, 1 failed, 1 rolled back, 1 unknown, 1 running" {
		t.Errorf("%+v: %+v", line.Run, last.Spans)
	}
	if err := r.file.Close(); err != nil {
		t.Fatal(err)
	}
	line = timelineOf(t, folder)
	last = line.Ways[4]
	if line.Outcome != RunCutOff || last.State != Interrupted || last.Spans[0].State != Interrupted {
		t.Errorf("%s, %+v", line.Outcome, last)
	}
	for _, text := range []string{
		`{"run":{"id":"2026","machines":[]}}`,
		`{"run":{"id":"2026","machines":["a"],"started":"2026-01-02T15:04:05Z"}}
{"event":{"machine":"a","phase":"reach","state":"started","time":"2026-01-02T15:04:05Z"}}
{"event":{"machine":"a","phase":"reach","state":"done","time":"2020-01-02T15:04:05Z"}}
{"event":{"machine":"stranger","phase":"health","state":"started","time":"2020-01-02T15:04:05Z"}}`,
	} {
		h, err := parseHistory(strings.NewReader(text), true)
		if err != nil {
			t.Fatal(err)
		}
		var page bytes.Buffer
		if err := h.Timeline(recordStart).WritePage(&page); err != nil || !strings.Contains(page.String(), "</html>") {
			t.Errorf("%v: %s", err, page.String())
		}
	}
}

func TestListRuns(t *testing.T) {
	folder := t.TempDir()
	written(t, folder, true)
	if err := os.Mkdir(filepath.Join(folder, "20200101-empty"), 0o700); err != nil {
		t.Fatal(err)
	}
	working := newRecord(t, folder, "20260103-working", "a")
	defer working.file.Close()
	var got []string
	list, err := ListRuns(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		got = append(got, r.ID+": "+string(r.Outcome)+": "+strings.Replace(r.Text, folder, "", 1))
	}
	want := []string{
		"20260103-working: under way: 1 not started",
		"20260102-150405-000-0123abcd: unknown: 1 done, 1 unchanged, 1 failed, 1 rolled back, 1 unknown",
		"20200101-empty: unreadable: read the record of the run: open /20200101-empty/record.ndjson: no such file or directory",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if list, err := ListRuns(filepath.Join(folder, "none")); list == nil || len(list) > 0 || err != nil {
		t.Errorf("%v, %v", list, err)
	}
}

func TestTook(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 40 * time.Millisecond: "0s", 1500 * time.Millisecond: "1.5s", 9 * time.Second: "9s",
		12900 * time.Millisecond: "12s", 185 * time.Second: "3m05s", 130 * time.Minute: "2h10m", 50 * time.Hour: "50h00m",
	} {
		if got := Took(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
	for _, length := range []time.Duration{0, time.Second, 65 * time.Second, 40 * time.Hour, 9000 * time.Hour} {
		if n := length / tickStep(length); n > maxTicks {
			t.Errorf("%s has %d ticks", length, n)
		}
	}
}
