package deploy

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Record is a run on the disk of the driver, line by line, so that a run whose
// driver died can be gone on with: what was to be done, which activation was
// begun where, how each machine ended. Each line is one JSON object with one of
// the fields of [entry]. A line that was cut off by a crash does not count.
//
// A record has no secrets in it.
type Record struct {
	ID string

	mu   sync.Mutex
	file *os.File
	logs map[string]*machineLog // nil for one that cannot be written
	torn bool                   // the last line may be a part of one
	err  error                  // why the record is not complete
}

// Header is what a run was asked to do.
type Header struct {
	ID      string    `json:"id"`
	Started time.Time `json:"started"`
	Owner   string    `json:"owner"`
	// Flake is the folder or reference of the fleet.
	Flake    string   `json:"flake"`
	Settings Settings `json:"settings"`
	// Machines are the names of all machines of the run, sorted; Waves are theirs,
	// and Unnamed those that nobody named themselves.
	Machines []string       `json:"machines"`
	Waves    map[string]int `json:"waves,omitempty"`
	Unnamed  []string       `json:"unnamed,omitempty"`
}

// Begun is an activation that was begun, or was about to be.
type Begun struct {
	Machine string `json:"machine"`
	Target  string `json:"target"`
	// ID names the activation on the machine.
	ID string `json:"id"`
	// Rejected is why the new system was rejected, once it was.
	Rejected string `json:"rejected,omitempty"`
}

// foundAt is where a run found a machine.
type foundAt struct {
	Machine string `json:"machine"`
	Place
}

// entry is one line.
type entry struct {
	Run     *Header    `json:"run,omitempty"`
	Machine *Machine   `json:"machine,omitempty"`
	Found   *foundAt   `json:"found,omitempty"`
	Event   *Event     `json:"event,omitempty"`
	Begun   *Begun     `json:"begun,omitempty"`
	Result  *Result    `json:"result,omitempty"`
	Ended   *time.Time `json:"ended,omitempty"`
	Resumed *time.Time `json:"resumed,omitempty"`
}

// History is what a record tells.
type History struct {
	Header
	// Machines are those that were evaluated, by name.
	Evaluated map[string]Machine
	// Found is where machines were when the run first looked at them.
	Found map[string]Place
	// Begun are the last activations, by machine.
	Begun map[string]Begun
	// Results are how machines ended, by name.
	Results map[string]Result
	// Complete says that the run came to its end.
	Complete bool
	// UnderWay says that somebody was at work on it when it was read.
	UnderWay bool

	events   []Event // but for those that only tell more of a phase
	sittings []sitting
}

const recordName = "record.ndjson"

// ErrRollback says that a run took machines back.
var ErrRollback = errors.New("it took machines back, which is not gone on with: `fleet machines attach` follows what it has begun, and `fleet machines rollback` begins anew")

// ErrRunning says that a run's driver is still at work.
var ErrRunning = errors.New("it is still running")

// CreateRecord makes the record of a run in a folder of its own below folder,
// and removes records of older runs.
func CreateRecord(folder string, h Header) (*Record, error) {
	dir := filepath.Join(folder, h.ID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the record of this run: %w", err)
	}
	removeOld(folder, h.Started)
	file, err := os.OpenFile(filepath.Join(dir, recordName), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("make the record of this run: %w", err)
	}
	r := &Record{ID: h.ID, file: file, logs: map[string]*machineLog{}}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		err = r.append(entry{Run: &h}, true)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make the record of this run: %w", err), file.Close())
	}
	return r, nil
}

// Records of runs are kept for recordAge: keptRecords of them in any case, and
// never more than maxRecords.
const (
	recordAge   = 30 * 24 * time.Hour
	keptRecords = 20
	maxRecords  = 200
)

// removeOld is best effort: an old record that stays does no harm.
func removeOld(folder string, now time.Time) {
	entries, err := os.ReadDir(folder) // sorted, and the names begin with a time
	if err != nil {
		return
	}
	for i, e := range entries[:max(0, len(entries)-keptRecords)] {
		info, err := e.Info()
		dir := filepath.Join(folder, e.Name())
		old := err == nil && now.Sub(info.ModTime()) > recordAge || i < len(entries)-maxRecords
		if old && !underWay(filepath.Join(dir, recordName)) {
			_ = os.RemoveAll(dir)
		}
	}
}

// underWay tells that somebody is at work on a run: its record is locked.
func underWay(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return false
	}
	defer file.Close() // which gives the lock back
	return errors.Is(unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// ReadRecord reads the record of a run, whose name may be shortened to a
// beginning that no other run has.
func ReadRecord(folder, name string) (*History, error) {
	file, err := findRecord(folder, name)
	if err != nil {
		return nil, err
	}
	return readHistory(file, true)
}

// ResumeRecord takes over the record of a run to go on with it. The error wraps
// [ErrRunning] if somebody is at work on it, and [ErrRollback] if it is none to go
// on with.
func ResumeRecord(folder, name string, now time.Time) (*Record, *History, error) {
	return takeRecord(folder, name, now, false)
}

// AttachRecord takes over the record of a run to follow what it has begun. Where
// there is nothing to follow, and while somebody else is at work on the run, there
// is its history and no record.
func AttachRecord(folder, name string, now time.Time) (*Record, *History, error) {
	h, err := ReadRecord(folder, name)
	if err != nil || !slices.ContainsFunc(h.Machines, func(m string) bool { _, unseen := h.unseen(m); return unseen }) {
		return nil, h, err
	}
	r, taken, err := takeRecord(folder, h.ID, now, true)
	if errors.Is(err, ErrRunning) {
		return nil, h, nil
	}
	return r, taken, err
}

// takeRecord takes over the record of a run, that of a rollback only if asked to.
func takeRecord(folder, name string, now time.Time, rollback bool) (*Record, *History, error) {
	path, err := findRecord(folder, name)
	if err != nil {
		return nil, nil, err
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("go on with the run %s: %w", name, err)
	}
	r := &Record{ID: filepath.Base(filepath.Dir(path)), file: file, logs: map[string]*machineLog{}}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrRunning
		}
		return nil, nil, errors.Join(fmt.Errorf("go on with the run %s: %w", r.ID, err), file.Close())
	}
	history, err := readHistory(path, true)
	if err == nil && history.Settings.Rollback && !rollback {
		err = ErrRollback
	}
	if err == nil {
		history.UnderWay = false // but for us
		// What a crash has cut off is ended first.
		if _, err = file.Write([]byte("\n")); err == nil {
			err = r.append(entry{Resumed: &now}, true)
		}
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("go on with the run %s: %w", r.ID, err), file.Close())
	}
	return r, history, nil
}

// Runs are the names of the recorded runs, the latest first, as far as they can
// be told.
func Runs(folder string) []string {
	names, _ := runNames(folder)
	return names
}

func runNames(folder string) (names []string, err error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Unwrap(err) // whoever asks names the folder
	}
	for _, e := range slices.Backward(entries) {
		names = append(names, e.Name())
	}
	return names, nil
}

// NoRecordError says that there is no record of a run, or several of that name.
type NoRecordError struct {
	Name    string
	Several []string
}

func (e *NoRecordError) Error() string {
	if len(e.Several) > 0 {
		return fmt.Sprintf("several runs begin with %s: %s", e.Name, strings.Join(e.Several, ", "))
	}
	return fmt.Sprintf("there is no run %s", e.Name)
}

func findRecord(folder, name string) (string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("look for the run %s: %w", name, err)
	}
	var found []string
	for _, e := range entries {
		if e.Name() == name {
			found = []string{name}
			break
		}
		if name != "" && strings.HasPrefix(e.Name(), name) {
			found = append(found, e.Name())
		}
	}
	if len(found) != 1 {
		return "", &NoRecordError{Name: name, Several: found}
	}
	return filepath.Join(folder, found[0], recordName), nil
}

// readHistory reads a record; evaluated says whether what was evaluated matters,
// which is most of it.
func readHistory(path string, evaluated bool) (*History, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the record of the run: %w", err)
	}
	defer file.Close()
	h, err := parseHistory(file, evaluated)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	h.UnderWay = !h.Complete && underWay(path)
	return h, nil
}

// parseHistory reads a record; lines that are none are what a crash has left.
func parseHistory(r io.Reader, evaluated bool) (*History, error) {
	h := &History{Evaluated: map[string]Machine{}, Found: map[string]Place{}, Begun: map[string]Begun{}, Results: map[string]Result{}}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		var e entry
		skip := !evaluated && bytes.HasPrefix(line, []byte(`{"machine":{`))
		if !skip && json.Unmarshal(line, &e) == nil {
			h.add(e)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if h.ID == "" {
		return nil, errors.New("it is no record of a run")
	}
	return h, nil
}

func (h *History) add(e entry) {
	switch {
	case e.Run != nil:
		h.Header = *e.Run
		h.sittings = []sitting{{e.Run.Started, e.Run.Started}}
	case e.Machine != nil:
		h.Evaluated[e.Machine.Name] = *e.Machine
	case e.Found != nil:
		if _, known := h.Found[e.Found.Machine]; !known {
			h.Found[e.Found.Machine] = e.Found.Place
		}
	case e.Begun != nil:
		h.Begun[e.Begun.Machine] = *e.Begun
		delete(h.Results, e.Begun.Machine)
	case e.Result != nil:
		if e.Result.bad() {
			e.Result.Err = errors.New(e.Result.Message)
		}
		h.Results[e.Result.Machine] = *e.Result
	case e.Event != nil:
		if e.Event.State != Running {
			h.events = append(h.events, *e.Event)
		}
		h.heard(e.Event.Time)
	case e.Ended != nil:
		h.Complete = true
		h.heard(*e.Ended)
	case e.Resumed != nil:
		h.Complete = false
		h.sittings = append(h.sittings, sitting{*e.Resumed, *e.Resumed})
	}
}

// heard takes note of a time that a driver was at work.
func (h *History) heard(at time.Time) {
	if n := len(h.sittings); n > 0 && at.After(h.sittings[n-1].to) {
		h.sittings[n-1].to = at
	}
}

// Unfinished are the machines for which going on with the run has something to do,
// sorted.
func (h *History) Unfinished() []string {
	var names []string
	for _, name := range h.Machines {
		if r, ok := h.Results[name]; !ok || !r.finished() {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, cmp.Compare[string])
	return names
}

// Untouched is where the machines were found on which the run has begun nothing:
// they should be there still.
func (h *History) Untouched() map[string]Place {
	places := maps.Clone(h.Found)
	for name := range h.Begun {
		delete(places, name)
	}
	return places
}

// Joins tells that going on with the run joins an activation that it has begun on
// a machine, whose end nobody has seen.
func (h *History) Joins(machine string) bool {
	_, unseen := h.unseen(machine)
	return unseen
}

// append adds a line; durable has it on the disk before it returns. A nil record
// keeps nothing.
func (r *Record) append(e entry, durable bool) error {
	if r == nil {
		return nil
	}
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(e); err != nil {
		return fmt.Errorf("write the record of this run: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	text := line.Bytes()
	if r.torn { // by a full disk, say
		text = append([]byte("\n"), text...)
	}
	_, err := r.file.Write(text)
	r.torn = err != nil
	if err == nil && durable {
		err = r.file.Sync()
	}
	if err != nil {
		err = fmt.Errorf("write the record of this run: %w", err)
		r.fail(err)
	}
	return err
}

// Close ends the record, and tells why it is not complete if it is not.
func (r *Record) Close(now time.Time) error {
	if r == nil {
		return nil
	}
	_ = r.append(entry{Ended: &now}, true)
	errs := []error{r.err}
	for _, l := range r.logs {
		if l != nil {
			errs = append(errs, l.close())
		}
	}
	return errors.Join(append(errs, r.file.Close())...)
}
