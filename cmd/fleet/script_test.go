package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"fleet": func() { os.Exit(run()) },
	})
}

// TestScripts runs testdata/script: the user's voice. They work with the real
// Nix, sops and bubblewrap that .ci/setup brings.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	tools := filepath.Join(root, ".cache/bin")
	if _, err := os.Stat(filepath.Join(tools, "sops")); err != nil {
		t.Fatal("the tools are missing: run .ci/setup")
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join(root, "testdata/script"),
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
	})
}
