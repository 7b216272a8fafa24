package nixtest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/crs58/fleet/internal/nix"
)

// Player is an executor that answers from a recording. A request that was not
// recorded fails the test, and so does a recorded one that is never made: a
// test asks for exactly what its recording holds. Calls that were recorded
// several times are answered in that order.
type Player struct {
	t    testing.TB
	path string

	mu    sync.Mutex
	calls []*call // those that are still to come
}

var _ nix.Executor = (*Player)(nil)

// Play reads the recording at path; placeholders are those of Record, with the
// texts of this run as keys.
func Play(t testing.TB, path string, placeholders map[string]string) *Player {
	t.Helper()
	calls, err := readCalls(path, invert(placeholders))
	if err != nil {
		t.Fatal(err)
	}
	p := &Player{t: t, path: path, calls: calls}
	t.Cleanup(p.done)
	return p
}

func (p *Player) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.calls {
		p.t.Errorf("%s: never asked for: %s", p.path, c.key())
	}
}

// answer finds the recorded call and decodes its answer into v.
func (p *Player) answer(ctx context.Context, op string, request, v any) error {
	if err := ctx.Err(); err != nil {
		return &nix.Error{Op: op, Message: "cancelled: " + err.Error(), Causes: []error{err}}
	}
	want := (&call{Op: op, Request: encode(request)}).key()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, c := range p.calls {
		if c.key() != want {
			continue
		}
		p.calls = append(p.calls[:i:i], p.calls[i+1:]...)
		if c.Error != nil {
			return c.Error.err()
		}
		if v == nil {
			return nil
		}
		return json.Unmarshal(c.Answer, v)
	}
	var have []string
	for _, c := range p.calls {
		have = append(have, c.key())
	}
	err := fmt.Errorf("%s: not recorded: %s; there is still:\n%s", p.path, want, strings.Join(have, "\n"))
	p.t.Error(err)
	return err
}

// Version answers from the recording.
func (p *Player) Version(ctx context.Context) (v string, err error) {
	err = p.answer(ctx, "version", nil, &v)
	return v, err
}

// Metadata answers from the recording.
func (p *Player) Metadata(ctx context.Context, ref string) (m *nix.Metadata, err error) {
	err = p.answer(ctx, "metadata", ref, &m)
	return m, err
}

// Eval answers from the recording.
func (p *Player) Eval(ctx context.Context, req nix.EvalRequest, v any) error {
	return p.answer(ctx, "eval", req, v)
}

// Build answers from the recording.
func (p *Player) Build(ctx context.Context, req nix.BuildRequest) (built []nix.BuildResult, err error) {
	err = p.answer(ctx, "build", req, &built)
	return built, err
}

// PathInfo answers from the recording.
func (p *Player) PathInfo(ctx context.Context, store string, paths ...string) (infos map[string]nix.PathInfo, err error) {
	err = p.answer(ctx, "pathInfo", pathInfoRequest{store, paths}, &infos)
	return infos, err
}

// Closure answers from the recording.
func (p *Player) Closure(ctx context.Context, store, path string) (infos map[string]nix.PathInfo, err error) {
	err = p.answer(ctx, "closure", pathInfoRequest{store, []string{path}}, &infos)
	return infos, err
}

// Copy answers from the recording.
func (p *Player) Copy(ctx context.Context, req nix.CopyRequest) error {
	return p.answer(ctx, "copy", req, nil)
}
