package core_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// A world is a set of inputs that the fleets of testdata/eval are evaluated
// with: a Nix expression.
type world struct {
	name string
	expr string
}

// worlds are the offline nixpkgs and, where FLEET_REAL names a folder with the
// real ones (nixpkgs.lib, flake-parts, import-tree), the real lib.
func worlds(t *testing.T) []world {
	t.Helper()
	offline := fmt.Sprintf("import %s { offline = %s; ", absolute(t, "testdata/world.nix"), absolute(t, "../../../testdata"))
	all := []world{{name: "offline", expr: offline + "}"}}
	if peers := os.Getenv("FLEET_REAL"); peers != "" {
		all = append(all, world{name: "real", expr: offline + "peers = " + peers + "; }"})
	}
	return all
}

// Each file of testdata/eval is a small fleet (modules/… or a flake.nix), an
// expression `expr` that is applied to its outputs, and what comes of it: the
// JSON in `want`, or in `error` the pieces that the message must have, one a
// line. Several questions to one fleet have a suffix: expr.2 and want.2.
func TestEvaluation(t *testing.T) {
	files, err := filepath.Glob("testdata/eval/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fleets in testdata/eval: %v", err)
	}
	for _, world := range worlds(t) {
		t.Run(world.name, func(t *testing.T) {
			for _, file := range files {
				t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
					t.Parallel()
					archive, err := txtar.ParseFile(file)
					if err != nil {
						t.Fatal(err)
					}
					testFleet(t, world, archive)
				})
			}
		})
	}
}

func testFleet(t *testing.T, world world, archive *txtar.Archive) {
	dir := t.TempDir()
	parts := map[string]string{}
	for _, file := range archive.Files {
		name, _, _ := strings.Cut(file.Name, ".")
		if name == "expr" || name == "want" || name == "error" {
			parts[file.Name] = string(file.Data)
			continue
		}
		write(t, filepath.Join(dir, file.Name), file.Data)
	}
	asked := 0
	for name, expr := range parts {
		suffix, isExpr := strings.CutPrefix(name, "expr")
		if !isExpr {
			continue
		}
		asked++
		got, err := evaluate(t, world, dir, expr)
		if pieces, ok := parts["error"+suffix]; ok {
			checkError(t, name, got, err, pieces)
			continue
		}
		want, ok := parts["want"+suffix]
		if !ok {
			t.Fatalf("%s has neither want%s nor error%s", name, suffix, suffix)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(decode(t, want), decode(t, string(got))); diff != "" {
			t.Errorf("%s (-want +got):\n%s\nwhole: %s", name, diff, got)
		}
	}
	if asked == 0 {
		t.Fatal("the file asks nothing: it has no expr")
	}
}

func checkError(t *testing.T, name string, got []byte, err error, pieces string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s gave %s, but should fail", name, got)
		return
	}
	for piece := range strings.Lines(strings.TrimSpace(pieces)) {
		if piece = strings.TrimSpace(piece); !strings.Contains(err.Error(), piece) {
			t.Errorf("%s: the message lacks %q:\n%v", name, piece, err)
		}
	}
}

// evaluate applies a Nix function to the outputs of the fleet in dir.
func evaluate(t *testing.T, world world, dir, apply string) ([]byte, error) {
	t.Helper()
	expr := fmt.Sprintf("(%s) (import %s/harness.nix { core = %s; world = %s; dir = %s; })",
		apply, absolute(t, "testdata"), absolute(t, "."), worldFile(t, world), dir)
	return nix(t, "eval", "--impure", "--json", "--expr", expr)
}

func worldFile(t *testing.T, world world) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "world.nix")
	write(t, file, []byte(world.expr))
	return file
}

// nix runs the real program; its error is what it wrote to stderr.
func nix(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t, "nix"), args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("nix %s: %w\n%s", args[0], err, stderr.String())
	}
	return stdout.Bytes(), nil
}

func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("there is no %s: run .ci/setup and put .cache/bin into PATH (%v)", name, err)
	}
	return path
}

func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func decode(t *testing.T, data string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(data), &value); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return value
}

// What needs the real flake-parts and import-tree is evaluated where they are.
func TestFlakeParts(t *testing.T) {
	for _, world := range worlds(t)[1:] {
		archive, err := txtar.ParseFile("testdata/flake-parts/beside-others.txtar")
		if err != nil {
			t.Fatal(err)
		}
		testFleet(t, world, archive)
	}
}
