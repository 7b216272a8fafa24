package deploy

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/flake"
	"github.com/google/go-cmp/cmp"
)

var recordStart = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

func newRecord(t *testing.T, folder, id string, machines ...string) *Record {
	t.Helper()
	r, err := CreateRecord(folder, Header{ID: id, Started: recordStart, Owner: "me", Flake: "/fleet", Machines: machines, Settings: Settings{Goal: Test, StopAfter: 2}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecord(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "runs")
	r := newRecord(t, folder, "20260102-a", "a", "b", "c", "d")
	a := Machine{Name: "a", Class: flake.NixOS, Address: "ssh://a", Wave: 1, Details: &flake.Details{Name: "a", Toplevel: &flake.Derivation{DrvPath: "/d", OutPath: "/o"}}}
	for _, e := range []entry{
		{Machine: &a},
		{Begun: &Begun{Machine: "a", ID: "1"}},
		{Result: &Result{Machine: "a", State: Done}},
		{Result: &Result{Machine: "b", State: Failed, Message: "it broke"}},
		{Result: &Result{Machine: "c", State: Unknown, Message: "lost"}},
		{Begun: &Begun{Machine: "c", ID: "2"}}, // tried again
	} {
		if err := r.append(e, true); err != nil {
			t.Fatal(err)
		}
	}
	// Nobody goes on with a run that is under way, but it can be looked at.
	if _, _, err := ResumeRecord(folder, "20260102", recordStart); !errors.Is(err, ErrRunning) {
		t.Errorf("it was taken over: %v", err)
	}
	h, err := ReadRecord(folder, "20260102-a")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "c", "d"}, h.Unfinished()); diff != "" || h.Complete {
		t.Errorf("complete %t, unfinished %s", h.Complete, diff)
	}
	if h.Evaluated["a"].Details.Toplevel.OutPath != "/o" || h.Evaluated["a"].Wave != 1 || h.Begun["c"].ID != "2" || h.Settings.Goal != Test {
		t.Errorf("%+v", h)
	}
	if err := h.Results["b"].Err; err == nil || err.Error() != "it broke" {
		t.Errorf("the failure of b is told as %v", err)
	}

	// A crash: the last line is cut off.
	file := filepath.Join(folder, "20260102-a", recordName)
	if _, err := r.file.WriteString(`{"result":{"machine":"d","sta`); err != nil {
		t.Fatal(err)
	}
	if err := r.file.Close(); err != nil {
		t.Fatal(err)
	}
	r, h, err = ResumeRecord(folder, "20260102", recordStart)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "c", "d"}, h.Unfinished()); diff != "" {
		t.Error(diff)
	}
	if err := r.append(entry{Result: &Result{Machine: "d", State: Unchanged}}, true); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(recordStart); err != nil {
		t.Fatal(err)
	}
	h, err = ReadRecord(folder, "20260102-a")
	if err != nil || !h.Complete || h.Results["d"].State != Unchanged {
		t.Errorf("%v, %+v", err, h)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// What machines ended with says what is left to do.
func TestUnfinished(t *testing.T) {
	h := &History{Begun: map[string]Begun{}, Results: map[string]Result{}}
	var want, unseen []string
	for _, c := range []struct {
		name         string
		begun        bool
		result       *Result
		todo, unseen bool
	}{
		{name: "not-begun", todo: true},
		{name: "not-ended", begun: true, todo: true, unseen: true},
		{name: "unknown", begun: true, result: &Result{State: Unknown}, todo: true, unseen: true},
		{name: "failed", begun: true, result: &Result{State: Failed, Cause: CauseFailed}, todo: true},
		{name: "unreachable", result: &Result{State: Failed}, todo: true},
		{name: "held-back", result: &Result{State: HeldBack}, todo: true},
		{name: "interrupted", begun: true, result: &Result{State: Interrupted}, todo: true},
		{name: "rejected", begun: true, result: &Result{State: RolledBack, Cause: CauseRejected}},
		{name: "alone", begun: true, result: &Result{State: RolledBack, Cause: CauseExpired}, todo: true},
		{name: "power-cut", begun: true, result: &Result{State: RolledBack, Cause: CauseRebooted}, todo: true},
		{name: "done", begun: true, result: &Result{State: Done}},
		{name: "unchanged", result: &Result{State: Unchanged}},
	} {
		h.Machines = append(h.Machines, c.name)
		if c.begun {
			h.Begun[c.name] = Begun{Machine: c.name, ID: "1"}
		}
		if c.result != nil {
			h.Results[c.name] = *c.result
		}
		if c.todo {
			want = append(want, c.name)
		}
		if c.unseen {
			unseen = append(unseen, c.name)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, h.Unfinished()); diff != "" {
		t.Error(diff)
	}
	var got []string
	for _, name := range h.Machines {
		if _, ok := h.unseen(name); ok {
			got = append(got, name)
		}
	}
	if diff := cmp.Diff(unseen, got); diff != "" {
		t.Error(diff)
	}
}

// Whoever attaches to a run writes down what he sees, but not beside its driver.
func TestAttachRecord(t *testing.T) {
	folder := t.TempDir()
	driver := newRecord(t, folder, "20260102-a", "a")
	attach := func(want bool) *Record {
		t.Helper()
		r, h, err := AttachRecord(folder, "20260102", recordStart)
		if err != nil || h == nil || h.ID != "20260102-a" || (r != nil) != want {
			t.Fatalf("%+v, %+v, %v", r, h, err)
		}
		return r
	}
	if err := driver.append(entry{Begun: &Begun{Machine: "a", ID: "1"}}, true); err != nil {
		t.Fatal(err)
	}
	attach(false)
	if err := driver.file.Close(); err != nil { // which is its end
		t.Fatal(err)
	}
	r := attach(true)
	if err := r.append(entry{Result: &Result{Machine: "a", State: Done}}, true); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(recordStart); err != nil {
		t.Fatal(err)
	}
	attach(false) // there is nothing to follow
	if h, err := ReadRecord(folder, "20260102"); err != nil || !h.Complete || h.Results["a"].State != Done {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestFindRecord(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "runs")
	if _, err := ReadRecord(folder, "x"); err == nil || err.Error() != "there is no run x" {
		t.Errorf("%v", err)
	}
	for _, id := range []string{"20260102-a", "20260102-ab", "20260103-c"} {
		if err := newRecord(t, folder, id).Close(recordStart); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{"20260102-a": "20260102-a", "20260103": "20260103-c", "20260102": "", "": "", "../runs": ""} {
		h, err := ReadRecord(folder, name)
		if (err == nil) != (want != "") || err == nil && h.ID != want {
			t.Errorf("%q: %+v, %v", name, h, err)
		}
	}
	if diff := cmp.Diff([]string{"20260103-c", "20260102-ab", "20260102-a"}, Runs(folder)); diff != "" {
		t.Error(diff)
	}
	if _, err := CreateRecord(folder, Header{ID: "20260103-c"}); err == nil {
		t.Error("a run was recorded over another")
	}
}

// However many runs there were, the disk does not fill up, and one that is under
// way stays.
func TestTooManyRecords(t *testing.T) {
	folder := t.TempDir()
	working := newRecord(t, folder, "20240101-working")
	for i := range maxRecords {
		if err := os.Mkdir(filepath.Join(folder, recordStart.AddDate(0, 0, i-400).Format("20060102")), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := newRecord(t, folder, "20260102-new").Close(recordStart); err != nil {
		t.Fatal(err)
	}
	left := Runs(folder)
	if len(left) != maxRecords+1 || left[0] != "20260102-new" || left[len(left)-1] != "20240101-working" {
		t.Errorf("%d are left: %v", len(left), left)
	}
	if err := working.Close(recordStart); err != nil {
		t.Fatal(err)
	}
}

// Old records go, but not the last ones.
func TestOldRecords(t *testing.T) {
	folder := t.TempDir()
	for i := range keptRecords + 5 {
		dir := filepath.Join(folder, recordStart.AddDate(0, 0, i-400).Format("20060102"))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, recordStart, recordStart.AddDate(-1, 0, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if err := newRecord(t, folder, "20260102-new").Close(recordStart); err != nil {
		t.Fatal(err)
	}
	if left := Runs(folder); len(left) != keptRecords || left[0] != "20260102-new" {
		t.Errorf("%d are left: %v", len(left), left)
	}
}

func FuzzParseHistory(f *testing.F) {
	f.Add(`{"run":{"id":"1","machines":["a"]}}` + "\n" + `{"result":{"machine":"a","state":"done"}}` + "\n{")
	f.Add(`{"run":{"id":"1","machines":["a"],"started":"0001-01-01T00:00:00Z"}}` + "\n" +
		`{"event":{"machine":"a","phase":"reach","state":"started","time":"9999-12-31T23:59:59Z"}}` + "\n" + `{"resumed":"9999-12-31T23:59:59Z"}`)
	f.Fuzz(func(t *testing.T, text string) {
		h, err := parseHistory(strings.NewReader(text), true)
		if err != nil {
			return
		}
		if h.ID == "" {
			t.Error("a history without a run")
		}
		if err := h.Timeline(h.Started).WritePage(io.Discard); err != nil {
			t.Error(err)
		}
	})
}

// A line that a full disk has torn does not take the next one with it.
func TestRecordTorn(t *testing.T) {
	folder := t.TempDir()
	r := newRecord(t, folder, "20260102-a", "m")
	if _, err := r.file.WriteString(`{"event":{"machine":"m","pha`); err != nil {
		t.Fatal(err)
	}
	good := r.file
	var err error
	if r.file, err = os.Open("/dev/full"); err != nil {
		t.Fatal(err)
	}
	if err := r.append(entry{Event: &Event{Machine: "m"}}, false); err == nil {
		t.Error("it was written")
	}
	r.file.Close()
	r.file = good
	if err := r.append(entry{Begun: &Begun{Machine: "m", ID: "1"}}, true); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(recordStart); err == nil {
		t.Error("the record is said to be complete")
	}
	if h, err := ReadRecord(folder, "20260102-a"); err != nil || h.Begun["m"].ID != "1" {
		t.Errorf("%+v, %v", h, err)
	}
}
