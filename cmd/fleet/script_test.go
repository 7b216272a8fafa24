package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"fleet":  func() { os.Exit(run()) },
		"typing": typing,
	})
}

// TestScripts runs testdata/script: the user's voice. They work with the real
// Nix, sops and bubblewrap that .ci/setup brings.
func TestScripts(t *testing.T) { testscript.Run(t, scripts(t, "testdata/script")) }

// scripts is how those of a folder are run.
func scripts(t *testing.T, dir string) testscript.Params {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	tools := filepath.Join(root, ".cache/bin")
	if _, err := os.Stat(filepath.Join(tools, "sops")); err != nil {
		t.Fatal("the tools are missing: run .ci/setup")
	}
	return testscript.Params{
		Dir:                 filepath.Join(root, dir),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			home := filepath.Join(env.WorkDir, ".home")
			env.Setenv("HOME", home)
			env.Setenv("USER", "admin")
			env.Setenv("PATH", env.Getenv("PATH")+string(os.PathListSeparator)+tools+string(os.PathListSeparator)+"/usr/sbin:/usr/bin:/sbin:/bin")
			env.Setenv("NIX_CONF_DIR", filepath.Join(root, ".ci/nix"))
			env.Setenv("NIX_USER_CONF_FILES", "/dev/null")
			env.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
			env.Setenv("ROOT", root)
			return os.MkdirAll(home, 0o700)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":   code,
			"schema": schema,
			"tiny":   tiny,
			"root":   rooted,
		},
	}
}

// code runs a program and wants an exit code of it: code 3 fleet machines update
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// schema holds every JSON document of the last program's output against a schema
// of internal/cli/schema: schema machines-list
func schema(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: schema NAME")
	}
	compiled, err := jsonschema.NewCompiler().Compile(filepath.Join(ts.Getenv("ROOT"), "internal/cli/schema", args[0]+".json"))
	ts.Check(err)
	documents := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	documents.UseNumber()
	for n := 0; ; n++ {
		var document any
		err := documents.Decode(&document)
		if errors.Is(err, io.EOF) && n > 0 {
			return
		}
		ts.Check(err)
		ts.Check(compiled.Validate(document))
	}
}

// tiny makes the fleet of testdata/script/tiny in a folder: two machines on the
// offline nixpkgs, evaluated in a fraction of the demo's time.
func tiny(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: tiny FOLDER")
	}
	from, to := filepath.Join(ts.Getenv("ROOT"), "testdata/script/tiny"), ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(to, 0o755))
	ts.Check(os.CopyFS(to, os.DirFS(from)))
	replace(ts, filepath.Join(to, "flake.nix"))
	ts.Check(ts.Exec("git", "-C", to, "init", "--quiet"))
	ts.Check(ts.Exec("git", "-C", to, "add", "."))
}

// rooted puts the repository's place where files say @ROOT@.
func rooted(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: root FILE...")
	}
	for _, name := range args {
		replace(ts, ts.MkAbs(name))
	}
}

func replace(ts *testscript.TestScript, file string) {
	text := strings.ReplaceAll(ts.ReadFile(file), "@ROOT@", ts.Getenv("ROOT"))
	ts.Check(os.WriteFile(file, []byte(text), 0o644))
}
