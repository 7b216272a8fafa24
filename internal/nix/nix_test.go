package nix_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/nix/nixtest"
)

// flakeNix is the flake of most tests: values, a mistake, and derivations whose
// builder is the host's static busybox.
var flakeNix = strings.ReplaceAll(`{
  outputs = { self }: let
    sh = name: script: builtins.derivation {
      inherit name; system = "SYSTEM"; builder = "/bin/busybox"; args = [ "sh" "-c" script ];
    };
    ok = sh "ok" "echo working; echo hi > $out";
    fail = sh "fail" "echo first line; echo last line >&2; exit 3";
  in {
    value = { a = 1; b = [ "x" ]; };
    bad = import ./hosts/bad.nix;
    thrown = throw "the moon is down";
    loop = let f = n: f (n + 1); in builtins.trace "looping" (f 0);
    import = import ./hosts/new.nix;
    packages.SYSTEM = {
      inherit ok fail;
      big = sh "big" "/bin/busybox dd if=/dev/zero of=$out bs=1M count=4";
      user = sh "user" "echo ${ok} > $out";
      dependent = sh "dependent" "echo ${fail} > $out";
      sleeper = sh "sleeper" "/bin/busybox sleep 987654 & echo sleeping; wait";
    };
  };
}
`, "SYSTEM", nix.System())

const badNix = `let
  f = x: x.nope;
in
f { a = 1; }
`

func newFlake(t testing.TB) string {
	return nixtest.Flake(t, map[string]string{"flake.nix": flakeNix, "hosts/bad.nix": badNix})
}

func newCLI(t testing.TB, dir string) *nix.CLI {
	return nix.New(nix.Options{Env: nixtest.Env(t), Dir: dir, LogDir: filepath.Join(t.TempDir(), "log")})
}

// asError returns err as what the executor promises.
func asError(t *testing.T, err error) *nix.Error {
	t.Helper()
	var e *nix.Error
	if !errors.As(err, &e) {
		t.Fatalf("want an *nix.Error, have %T: %v", err, err)
	}
	return e
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}
