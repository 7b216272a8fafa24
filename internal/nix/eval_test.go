package nix_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/nix/nixtest"
)

func TestEval(t *testing.T) {
	c := newCLI(t, newFlake(t))
	var value struct {
		A int
		B []string
	}
	if err := c.Eval(t.Context(), nix.EvalRequest{Installable: ".#value"}, &value); err != nil {
		t.Fatal(err)
	}
	if value.A != 1 || !slices.Equal(value.B, []string{"x"}) {
		t.Errorf("value is %+v", value)
	}
	for name, req := range map[string]nix.EvalRequest{
		"apply":      {Installable: ".#value", Apply: "v: v.a + 1"},
		"expression": {Expr: "1 + 1"},
		"attribute":  {Expr: "{ a.b = 2; }", Installable: "a.b"},
		"arguments":  {Expr: "{ n }: { two = n; }", Installable: "two", Args: []string{"--arg", "n", "2"}},
	} {
		var raw json.RawMessage
		if err := c.Eval(t.Context(), req, &raw); err != nil || string(raw) != "2\n" && string(raw) != "2" {
			t.Errorf("%s: %q, %v", name, raw, err)
		}
	}
}

func TestEvalErrors(t *testing.T) {
	dir := newFlake(t)
	c := newCLI(t, dir)
	nixtest.Write(t, dir, map[string]string{"hosts/new.nix": "1"})
	untracked := nixtest.Flake(t, map[string]string{"README": "-"})
	nixtest.Write(t, untracked, map[string]string{"flake.nix": flakeNix})
	for name, tt := range map[string]struct {
		req      nix.EvalRequest
		message  string
		position string
		is       error
	}{
		"position in the user's file": {nix.EvalRequest{Installable: ".#bad"}, "attribute 'nope' missing", "hosts/bad.nix:2:10", nil},
		"by absolute reference":       {nix.EvalRequest{Installable: dir + "#bad"}, "attribute 'nope' missing", "hosts/bad.nix:2:10", nil},
		"throw":                       {nix.EvalRequest{Installable: ".#thrown"}, "the moon is down", "flake.nix:11:14", nil},
		"missing attribute":           {nix.EvalRequest{Installable: ".#nothing"}, "does not provide attribute", "", nix.ErrNoAttribute},
		"near match":                  {nix.EvalRequest{Installable: ".#value", Apply: "v: v.aa"}, "attribute 'aa' missing (did you mean one of a or b?)", "«string»:1:4", nil},
		"syntax":                      {nix.EvalRequest{Expr: "1 +"}, "syntax error, unexpected end of file", "«string»:1:4", nil},
		"no flake":                    {nix.EvalRequest{Installable: t.TempDir() + "#x"}, "flake", "", nix.ErrNoFlake},
		"no folder":                   {nix.EvalRequest{Installable: "./nowhere#x"}, "No such file", "", nix.ErrNoFlake},
		"no folder, by path:":         {nix.EvalRequest{Installable: "path:/no/where#x"}, "does not exist", "", nix.ErrNoFlake},
		"not in the registry":         {nix.EvalRequest{Installable: "nowhere#x"}, "cannot find flake", "", nix.ErrNoFlake},
		"flake.nix not in git":        {nix.EvalRequest{Installable: untracked + "#value"}, "add flake.nix", "", nix.ErrNoFlake},
		"file not in git":             {nix.EvalRequest{Installable: ".#import"}, "hosts/new.nix is not known to git", "flake.nix:13:14", nil},
		"unknown flag":                {nix.EvalRequest{Expr: "1", Args: []string{"--no-such-flag"}}, "unrecognised flag '--no-such-flag'", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.Eval(t.Context(), tt.req, new(any))
			e := asError(t, err)
			if !strings.Contains(e.Message, tt.message) || e.Position() != tt.position {
				t.Errorf("message %q at %q, want %q at %q\n%v", e.Message, e.Position(), tt.message, tt.position, err)
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("%v is not %v", err, tt.is)
			}
			if strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("not one sentence: %q", err)
			}
			log, readErr := os.ReadFile(e.LogPath)
			if readErr != nil || !strings.Contains(string(log), "error") || strings.Contains(string(log), "\x1b") {
				t.Errorf("log %q: %v\n%s", e.LogPath, readErr, log)
			}
			t.Log(err)
		})
	}
}

func TestTrace(t *testing.T) {
	err := newCLI(t, newFlake(t)).Eval(t.Context(), nix.EvalRequest{Installable: ".#bad"}, new(any))
	e := asError(t, err)
	var got []string
	for _, f := range e.Trace {
		got = append(got, fmt.Sprintf("%s:%d %s", f.File, f.Line, f.Text))
	}
	want := []string{"hosts/bad.nix:2 while calling 'f'", "hosts/bad.nix:4 from call site"}
	if len(got) < 2 || !slices.Equal(got[:2], want) || !strings.HasPrefix(got[len(got)-1], "flake.nix:10 ") {
		t.Errorf("trace is %q", got)
	}
}

// An error raised inside a library is placed where the user's file called it.
func TestErrorOfALibraryIsPlacedInTheUsersFile(t *testing.T) {
	lib := nixtest.Flake(t, map[string]string{"flake.nix": "{\n  outputs = _: { check = x: throw \"x is ${x}\"; };\n}\n"})
	dir := nixtest.Flake(t, map[string]string{"flake.nix": fmt.Sprintf(`{
  inputs.lib.url = "path:%s";
  outputs = { lib, ... }: {
    v = lib.check "wrong";
  };
}
`, lib)})
	err := newCLI(t, dir).Eval(t.Context(), nix.EvalRequest{Installable: ".#v"}, new(any))
	if e := asError(t, err); e.Position() != "flake.nix:4:9" || e.Message != "x is wrong" {
		t.Errorf("%q at %s: %v", e.Message, e.Position(), err)
	}
}

// The module system names the file of a definition in its message, while Nix's
// position is in the library.
func TestErrorOfAModuleIsPlacedInTheUsersFile(t *testing.T) {
	lib := nixtest.Flake(t, map[string]string{"flake.nix": `{
  outputs = _: { check = file: throw "A definition for option ` + "`a' is not of type `string'. Definition values:\n- In `${toString file}" + `': 1"; };
}
`})
	dir := nixtest.Flake(t, map[string]string{"hosts/a.nix": "{ a = 1; }", "flake.nix": fmt.Sprintf(`{
  inputs.lib.url = "path:%s";
  outputs = { lib, ... }: {
    v = lib.check ./hosts/a.nix;
    w = throw "The option `+"`b' does not exist. Definition values:\n- In `${toString ./hosts/a.nix}'"+`: 1";
  };
}
`, lib)})
	err := newCLI(t, dir).Eval(t.Context(), nix.EvalRequest{Installable: ".#v"}, new(any))
	if e := asError(t, err); e.Position() != "hosts/a.nix" || !strings.Contains(e.Message, "- In `hosts/a.nix': 1") {
		t.Errorf("%q at %s: %v", e.Message, e.Position(), err)
	}
	err = newCLI(t, dir).Eval(t.Context(), nix.EvalRequest{Installable: ".#w"}, new(any))
	if e := asError(t, err); e.Message != "The option `b' does not exist. Definition values:\n- In `hosts/a.nix': 1" {
		t.Errorf("%q at %s: %v", e.Message, e.Position(), err)
	}
}

func TestNixConfigOfAFlake(t *testing.T) {
	dir := nixtest.Flake(t, map[string]string{"flake.nix": `{
  nixConfig.extra-substituters = [ "https://cache.example" ];
  nixConfig.extra-trusted-public-keys = [ "k:AAAA" ];
  outputs = _: { v = 1; };
}
`})
	for _, accept := range []bool{false, true} {
		c := nix.New(nix.Options{Env: nixtest.Env(t), Dir: dir, AcceptFlakeConfig: accept})
		var said []string
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		err := c.Eval(ctx, nix.EvalRequest{Installable: ".#v", OnEvent: func(e nix.Event) {
			if e.Kind == nix.Message && e.Level == nix.LevelWarn {
				said = append(said, e.Text)
			}
		}}, new(int))
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		if !accept {
			want = []string{"the flake's nixConfig is ignored: extra-substituters, extra-trusted-public-keys; accept it with --accept-flake-config"}
		}
		if !slices.Equal(said, want) {
			t.Errorf("accept=%v: said %q", accept, said)
		}
	}
}

func TestMetadata(t *testing.T) {
	dir := newFlake(t)
	c := newCLI(t, dir)
	dirty, err := c.Metadata(t.Context(), ".")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(dirty.Path, "/nix/store/") || !strings.HasPrefix(dirty.NarHash, "sha256-") || dirty.Revision != "" ||
		dirty.ResolvedURL != "git+file://"+dir {
		t.Errorf("dirty: %+v", dirty)
	}
	nixtest.Git(t, dir, "commit", "-q", "-m", "x")
	clean, err := c.Metadata(t.Context(), ".")
	if err != nil {
		t.Fatal(err)
	}
	if clean.NarHash != dirty.NarHash || clean.Revision != strings.TrimSpace(nixtest.Git(t, dir, "rev-parse", "HEAD")) ||
		clean.LastModified != 1767323045 || clean.Fingerprint == "" {
		t.Errorf("clean: %+v", clean)
	}
	nixtest.Write(t, dir, map[string]string{"hosts/bad.nix": "1"})
	if edited, err := c.Metadata(t.Context(), "."); err != nil || !strings.HasPrefix(edited.DirtyRevision, clean.Revision) {
		t.Errorf("edited: %+v, %v", edited, err)
	}
	if _, err := c.Metadata(t.Context(), t.TempDir()); !errors.Is(err, nix.ErrNoFlake) {
		t.Errorf("no flake: %v", err)
	}
}

// Logs are there to be read for a while, not for ever; other files in their
// folder are nobody's business.
func TestOldLogsGo(t *testing.T) {
	dir, logs := newFlake(t), t.TempDir()
	old, recent, other := filepath.Join(logs, "nix-eval-1.log"), filepath.Join(logs, "nix-eval-2.log"), filepath.Join(logs, "notes.log")
	for _, file := range []string{old, recent, other} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-15 * 24 * time.Hour)
	for _, file := range []string{old, other} {
		if err := os.Chtimes(file, long, long); err != nil {
			t.Fatal(err)
		}
	}
	c := nix.New(nix.Options{Env: nixtest.Env(t), Dir: dir, LogDir: logs})
	if err := c.Eval(t.Context(), nix.EvalRequest{Installable: ".#nothing"}, new(any)); err == nil {
		t.Fatal("no error, so no log")
	}
	for file, want := range map[string]bool{old: false, recent: true, other: true} {
		if _, err := os.Stat(file); (err == nil) != want {
			t.Errorf("%s: kept %t, want %t", filepath.Base(file), err == nil, want)
		}
	}
}
