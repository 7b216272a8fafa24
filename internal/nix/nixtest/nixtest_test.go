package nixtest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/nix/nixtest"
)

var update = flag.Bool("update", false, "write the recordings anew")

const recording = "testdata/executor.json"

var files = map[string]string{
	"flake.nix": strings.ReplaceAll(`{
  outputs = { self }: let
    sh = name: script: builtins.derivation {
      inherit name; system = "SYSTEM"; builder = "/bin/busybox"; args = [ "sh" "-c" script ];
    };
  in {
    value = { a = 1; };
    bad = { a = 1; }.nope;
    ok = sh "recorded" "echo hi > $out";
    fail = sh "failing" "echo oh; exit 3";
  };
}
`, "SYSTEM", "x86_64-linux"),
}

// everything asks an executor for one of each, and tells the outcome.
func everything(ctx context.Context, x nix.Executor, dir, store string) string {
	var b strings.Builder
	tell := func(v any, err error) {
		var e *nix.Error
		errors.As(err, &e)
		if e != nil {
			e.LogPath = "" // of this run only
		}
		fmt.Fprintf(&b, "%+v, %v, %v\n", v, err, errors.Is(err, nix.ErrNoAttribute))
	}
	v, err := x.Version(ctx)
	tell(v, err)
	m, err := x.Metadata(ctx, dir)
	if err == nil {
		tell(*m, err)
	}
	for _, attr := range []string{"value", "bad", "nothing", "value"} {
		var value any
		err := x.Eval(ctx, nix.EvalRequest{Installable: dir + "#" + attr}, &value)
		tell(value, err)
	}
	built, err := x.Build(ctx, nix.BuildRequest{Installables: []string{dir + "#ok"}})
	tell(built, err)
	if err == nil {
		out := built[0].Outputs["out"]
		tell(nil, x.Copy(ctx, nix.CopyRequest{To: store, Paths: []string{out}, NoCheckSigs: true}))
		infos, err := x.PathInfo(ctx, store, out)
		tell(infos, err)
		infos, err = x.Closure(ctx, store, out)
		tell(infos, err)
	}
	_, err = x.Build(ctx, nix.BuildRequest{Installables: []string{dir + "#fail"}})
	tell(nil, err)
	return b.String()
}

// The recording is what the real Nix does today, and playing it is
// indistinguishable from that.
func TestRecordingIsReal(t *testing.T) {
	dir, store := nixtest.Flake(t, files), filepath.Join(t.TempDir(), "store")
	c := nix.New(nix.Options{Env: nixtest.Env(t)})
	version, err := c.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	recorder := nixtest.Record(c, map[string]string{dir: "$DIR", store: "$STORE", version: "$VERSION"})
	real := everything(t.Context(), recorder, dir, store)
	recorder.Check(t, recording, *update)
	if strings.Contains(read(t), os.TempDir()) {
		t.Error("the recording names a temporary folder")
	}

	player := nixtest.Play(t, recording, map[string]string{dir: "$DIR", store: "$STORE", version: "$VERSION"})
	if diff := cmp.Diff(real, everything(t.Context(), player, dir, store)); diff != "" {
		t.Error(diff)
	}
}

// spy is a test that may fail.
type spy struct {
	testing.TB
	errors  []string
	cleanup []func()
}

func (s *spy) Helper()                   {}
func (s *spy) Cleanup(f func())          { s.cleanup = append(s.cleanup, f) }
func (s *spy) Error(args ...any)         { s.errors = append(s.errors, fmt.Sprint(args...)) }
func (s *spy) Errorf(f string, a ...any) { s.errors = append(s.errors, fmt.Sprintf(f, a...)) }

func TestPlayerIsStrict(t *testing.T) {
	s := &spy{TB: t}
	p := nixtest.Play(s, recording, nil)
	if _, err := p.Version(t.Context()); err != nil || len(s.errors) > 0 {
		t.Fatal(err, s.errors)
	}
	if err := p.Eval(t.Context(), nix.EvalRequest{Installable: "$DIR#other"}, new(any)); err == nil || len(s.errors) != 1 ||
		!strings.Contains(s.errors[0], "not recorded: eval") || !strings.Contains(s.errors[0], "$DIR#value") {
		t.Errorf("an unknown request: %v, %q", err, s.errors)
	}
	s.errors = nil
	for _, f := range s.cleanup {
		f()
	}
	if len(s.errors) != 10 || !strings.Contains(strings.Join(s.errors, "\n"), "never asked for: copy") {
		t.Errorf("%d unused: %q", len(s.errors), s.errors)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Version(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestStaleRecordingFails(t *testing.T) {
	stale := filepath.Join(t.TempDir(), "stale.json")
	if err := os.WriteFile(stale, []byte(strings.Replace(read(t), `"a": 1`, `"a": 2`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &spy{TB: t}
	recorder := nixtest.Record(nixtest.Play(s, recording, nil), nil)
	everything(t.Context(), recorder, "$DIR", "$STORE")
	recorder.Check(s, recording, false)
	if len(s.errors) > 0 {
		t.Errorf("the same: %q", s.errors)
	}
	recorder.Check(s, stale, false)
	if len(s.errors) != 1 || !strings.Contains(s.errors[0], "-update") {
		t.Errorf("stale: %q", s.errors)
	}
}

func read(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(recording)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
