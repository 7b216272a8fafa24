package testdata_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write nixpkgs/tests/errors.txt anew")

// TestValues asks our lib, and the real one where FLEET_REAL names a folder with
// it, every question of nixpkgs/tests/values.nix.
func TestValues(t *testing.T) {
	t.Parallel()
	for name, lib := range libs(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := nixOK(t, "eval", "--impure", "--json", "--expr", fmt.Sprintf(`
				let
				  lib = import %s;
				  answer = asked:
				    let r = builtins.tryEval (builtins.deepSeq asked asked);
				    in if r.success then builtins.toJSON r.value else "it threw";
				in
				builtins.mapAttrs
				  (_: pair: { got = answer (builtins.elemAt pair 0); want = answer (builtins.elemAt pair 1); })
				  (import ./nixpkgs/tests/values.nix { inherit lib; })`, lib))
			var answers map[string]struct{ Got, Want string }
			if err := json.Unmarshal([]byte(out), &answers); err != nil {
				t.Fatal(err)
			}
			if len(answers) < 150 {
				t.Errorf("only %d questions in values.nix", len(answers))
			}
			for question, a := range answers {
				if a.Got != a.Want {
					t.Errorf("%s: got %s, want %s", question, a.Got, a.Want)
				}
			}
		})
	}
}

// TestErrors compares the message of every expression of nixpkgs/tests/errors.nix
// with the golden file, for our lib and the real one.
func TestErrors(t *testing.T) {
	t.Parallel()
	const golden = "nixpkgs/tests/errors.txt"
	for name, lib := range libs(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := messages(t, lib)
			if *update && name == "ours" {
				var b strings.Builder
				for _, expr := range sorted(got) {
					fmt.Fprintf(&b, "== %s\n%s\n", expr, got[expr])
				}
				if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			text, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{}
			for _, block := range strings.Split("\n"+strings.TrimSuffix(string(text), "\n"), "\n== ")[1:] {
				expr, message, _ := strings.Cut(block, "\n")
				want[expr] = message
			}
			if diff := cmp.Diff(sorted(want), sorted(got)); diff != "" {
				t.Fatalf("the expressions of the golden file (-) are not those of errors.nix (+):\n%s", diff)
			}
			for expr := range want {
				if !sameMessage(want[expr], got[expr]) {
					t.Errorf("%s\n--- got\n%s\n--- want\n%s", expr, got[expr], want[expr])
				}
			}
		})
	}
}

// sameMessage is equality, but for what the newest lib adds in its second kind of
// merge: a reason ahead of the definitions.
func sameMessage(want, got string) bool {
	if head, _, ok := strings.Cut(got, " TypeError:"); ok {
		return strings.HasPrefix(want, head)
	}
	return want == got
}

// messages evaluates each expression of errors.nix and returns what Nix says last.
func messages(t *testing.T, lib string) map[string]string {
	t.Helper()
	expr := fmt.Sprintf(`import ./nixpkgs/tests/errors.nix { lib = import %s; }`, lib)
	var names []string
	list := nixOK(t, "eval", "--impure", "--json", "--expr", "builtins.attrNames ("+expr+")")
	if err := json.Unmarshal([]byte(list), &names); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, name := range names {
		out, stderr, err := nix(t, "eval", "--impure", "--json", "--expr", "("+expr+")."+name)
		if err == nil {
			t.Errorf("%s: no error but %s", name, out)
			continue
		}
		found[name] = lastMessage(stderr)
	}
	return found
}

var (
	colour   = regexp.MustCompile(`\x1b\[[0-9;]*m`)
	callSite = regexp.MustCompile(` at \S+errors\.nix:\d+`)
)

func lastMessage(stderr string) string {
	text := colour.ReplaceAllString(stderr, "")
	if i := strings.LastIndex(text, "error: "); i >= 0 {
		text = text[i+len("error: "):]
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(strings.TrimPrefix(line, "       "), " ")
	}
	return callSite.ReplaceAllString(strings.Join(lines, "\n"), "")
}

// TestNames holds our lib to names that the real one has, so that nothing is
// written here that works with ours alone.
func TestNames(t *testing.T) {
	t.Parallel()
	real, ok := libs(t)["real"]
	if !ok {
		t.Log("FLEET_REAL is not set: only our lib was asked")
		return
	}
	out := nixOK(t, "eval", "--impure", "--json", "--expr", fmt.Sprintf(`
		let
		  ours = import ./nixpkgs/lib;
		  real = import %s;
		  extra = a: b: builtins.filter (n: !(b ? ${n})) (builtins.attrNames a);
		in
		{ lib = extra ours real; types = extra ours.types real.types; }`, real))
	var extra struct{ Lib, Types []string }
	if err := json.Unmarshal([]byte(out), &extra); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"__unfix__"}, extra.Lib); diff != "" {
		t.Errorf("names of our lib that the real one does not have:\n%s", diff)
	}
	if len(extra.Types) > 0 {
		t.Errorf("types that the real lib does not have: %v", extra.Types)
	}
}

// libs are the paths of our lib and, where FLEET_REAL has one, the real lib.
func libs(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{"ours": abs(t, "nixpkgs/lib")}
	if folder := os.Getenv("FLEET_REAL"); folder != "" {
		lib := filepath.Join(folder, "nixpkgs.lib", "lib")
		if _, err := os.Stat(lib); err != nil {
			t.Fatalf("FLEET_REAL names no folder with nixpkgs.lib: %v", err)
		}
		found["real"] = lib
	}
	return found
}

func abs(t *testing.T, path string) string {
	t.Helper()
	p, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func sorted(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// nix runs the project's Nix with the project's settings.
func nix(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	program := abs(t, "../.cache/bin/nix")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("there is no Nix, run .ci/setup: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(),
		"NIX_CONF_DIR="+abs(t, "../.ci/nix"),
		"NIX_USER_CONF_FILES=",
		"NIX_CONFIG=",
	)
	var out, log strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &log
	err = cmd.Run()
	return out.String(), log.String(), err
}

func nixOK(t *testing.T, args ...string) string {
	t.Helper()
	stdout, stderr, err := nix(t, args...)
	if err != nil {
		t.Fatalf("nix %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	return stdout
}
