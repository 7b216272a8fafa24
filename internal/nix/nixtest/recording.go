package nixtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/nix"
)

// call is a request with its answer.
type call struct {
	Op      string          `json:"op"`
	Request json.RawMessage `json:"request"`
	Answer  json.RawMessage `json:"answer,omitempty"`
	Error   *failure        `json:"error,omitempty"`
}

// failure is an error; what differs from run to run (logs, traces) is left out.
type failure struct {
	// Text is an error that is no *nix.Error.
	Text        string             `json:"text,omitempty"`
	Op          string             `json:"op,omitempty"`
	Installable string             `json:"installable,omitempty"`
	Message     string             `json:"message,omitempty"`
	File        string             `json:"file,omitempty"`
	Line        int                `json:"line,omitempty"`
	Column      int                `json:"column,omitempty"`
	Failures    []nix.BuildFailure `json:"failures,omitempty"`
	Is          []string           `json:"is,omitempty"`
	TooOld      *nix.TooOldError   `json:"tooOld,omitempty"`
}

// sentinels are the errors that survive a recording.
func sentinels() []error {
	return []error{nix.ErrNixMissing, nix.ErrNoFlake, nix.ErrNoAttribute, nix.ErrHashMismatch, nix.ErrDiskFull}
}

func newFailure(err error) *failure {
	f := &failure{}
	var e *nix.Error
	if errors.As(err, &e) {
		*f = failure{
			Op: e.Op, Installable: e.Installable, Message: e.Message,
			File: e.File, Line: e.Line, Column: e.Column, Failures: e.Failures,
		}
	} else {
		f.Text = err.Error()
	}
	for _, s := range sentinels() {
		if errors.Is(err, s) {
			f.Is = append(f.Is, s.Error())
		}
	}
	errors.As(err, &f.TooOld)
	return f
}

func (f *failure) err() error {
	var causes []error
	for _, s := range sentinels() {
		if slices.Contains(f.Is, s.Error()) {
			causes = append(causes, s)
		}
	}
	if f.TooOld != nil {
		causes = append(causes, f.TooOld)
	}
	if f.Text != "" {
		return &plain{text: f.Text, causes: causes}
	}
	return &nix.Error{
		Op: f.Op, Installable: f.Installable, Message: f.Message,
		File: f.File, Line: f.Line, Column: f.Column, Failures: f.Failures, Causes: causes,
	}
}

type plain struct {
	text   string
	causes []error
}

func (p *plain) Error() string   { return p.text }
func (p *plain) Unwrap() []error { return p.causes }

// pathInfoRequest are the arguments of PathInfo and Closure.
type pathInfoRequest struct {
	Store string
	Paths []string
}

// swap replaces texts in JSON by others, the longest first, so that a folder
// within another one is found.
func swap(data []byte, pairs map[string]string) []byte {
	from := make([]string, 0, len(pairs))
	for f := range pairs {
		from = append(from, f)
	}
	slices.SortFunc(from, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	for _, f := range from {
		data = bytes.ReplaceAll(data, inJSON(f), inJSON(pairs[f]))
	}
	return data
}

// inJSON is text as it stands within a JSON string.
func inJSON(text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		return []byte(text)
	}
	return quoted[1 : len(quoted)-1]
}

func invert(pairs map[string]string) map[string]string {
	out := map[string]string{}
	for from, to := range pairs {
		out[to] = from
	}
	return out
}

func readCalls(path string, pairs map[string]string) ([]*call, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var calls []*call
	if err := json.Unmarshal(swap(data, pairs), &calls); err != nil {
		return nil, fmt.Errorf("recording %s: %w", path, err)
	}
	for _, c := range calls {
		var answer bytes.Buffer // without the file's indentation, which raw JSON would keep
		if len(c.Answer) > 0 && json.Compact(&answer, c.Answer) == nil {
			c.Answer = answer.Bytes()
		}
	}
	return calls, nil
}

// compact makes equal JSON equal bytes.
func compact(data json.RawMessage) string {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return string(data)
	}
	out, err := json.Marshal(v) // with sorted keys
	if err != nil {
		return string(data)
	}
	return string(out)
}
