package nixtest

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/crs58/fleet/internal/nix"
)

// Recorder is an executor that asks another one and remembers.
type Recorder struct {
	x     nix.Executor
	pairs map[string]string

	mu    sync.Mutex
	calls []*call
}

var _ nix.Executor = (*Recorder)(nil)

// Record wraps x. Each text that is a key of placeholders, such as a temporary
// folder, stands as its value ("$DIR") in the recording.
func Record(x nix.Executor, placeholders map[string]string) *Recorder {
	return &Recorder{x: x, pairs: placeholders}
}

// Check compares what was recorded with the file at path, which is to say: is
// the recording still what the real Nix does? With update it writes the file.
func (r *Recorder) Check(t testing.TB, path string, update bool) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortStableFunc(r.calls, func(a, b *call) int { return strings.Compare(a.key(), b.key()) })
	data, err := json.MarshalIndent(r.calls, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	data = append(swap(data, r.pairs), '\n')
	if update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; make the recording with -update", err)
	}
	if string(want) != string(data) {
		t.Errorf("%s is not what Nix does today; look at the difference and run the test with -update\nrecorded:\n%s\ntoday:\n%s", path, want, data)
	}
}

func (c *call) key() string { return c.Op + " " + compact(c.Request) }

// note keeps a call. The answer is kept of calls that succeed only.
func (r *Recorder) note(op string, request, answer any, err error) {
	c := &call{Op: op, Request: encode(request)}
	if err != nil {
		c.Error = newFailure(err)
	} else if answer != nil {
		c.Answer = encode(answer)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, c)
}

// encode is for values that are made to be encoded.
func encode(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		data, _ = json.Marshal("cannot be recorded: " + err.Error())
	}
	return data
}

// Version asks and records.
func (r *Recorder) Version(ctx context.Context) (string, error) {
	v, err := r.x.Version(ctx)
	r.note("version", nil, v, err)
	return v, err
}

// Metadata asks and records.
func (r *Recorder) Metadata(ctx context.Context, ref string) (*nix.Metadata, error) {
	m, err := r.x.Metadata(ctx, ref)
	r.note("metadata", ref, m, err)
	return m, err
}

// Eval asks and records.
func (r *Recorder) Eval(ctx context.Context, req nix.EvalRequest, v any) error {
	var raw json.RawMessage
	err := r.x.Eval(ctx, req, &raw)
	r.note("eval", req, raw, err)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

// Build asks and records.
func (r *Recorder) Build(ctx context.Context, req nix.BuildRequest) ([]nix.BuildResult, error) {
	built, err := r.x.Build(ctx, req)
	r.note("build", req, built, err)
	return built, err
}

// PathInfo asks and records.
func (r *Recorder) PathInfo(ctx context.Context, store string, paths ...string) (map[string]nix.PathInfo, error) {
	infos, err := r.x.PathInfo(ctx, store, paths...)
	r.note("pathInfo", pathInfoRequest{store, paths}, infos, err)
	return infos, err
}

// Closure asks and records.
func (r *Recorder) Closure(ctx context.Context, store, path string) (map[string]nix.PathInfo, error) {
	infos, err := r.x.Closure(ctx, store, path)
	r.note("closure", pathInfoRequest{store, []string{path}}, infos, err)
	return infos, err
}

// Copy asks and records.
func (r *Recorder) Copy(ctx context.Context, req nix.CopyRequest) error {
	err := r.x.Copy(ctx, req)
	r.note("copy", req, nil, err)
	return err
}
