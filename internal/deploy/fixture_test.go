package deploy_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/secrets"
)

// system describes a system to build for a test: what its activation does
// beside writing its version to /etc/version and linking /run/current-system.
type system struct {
	version  string
	class    flake.Class
	build    string // shell lines of the builder
	before   string // shell lines of the activation before anything else
	boot     string // a shell command, with its semicolon, of making it the one that is booted
	after    string // shell lines of the activation at its end; may exit
	platform string // empty is ours
}

// flakeOf writes a flake with one system per machine and evaluates it.
func flakeOf(t testing.TB, x nix.Executor, systems map[string]system) map[string]flake.Derivation {
	t.Helper()
	dir := t.TempDir()
	var b strings.Builder
	fmt.Fprintf(&b, "{ outputs = _: let tools = %s; in { systems = {\n", tools)
	for name, s := range systems {
		program := "bin/switch-to-configuration"
		if s.class == flake.Darwin {
			program = "activate"
		}
		fmt.Fprintf(&b, "  %s = %s;\n", name, derivation(name, program, dir, s))
	}
	b.WriteString("}; }; }\n")
	if err := os.WriteFile(filepath.Join(dir, "flake.nix"), []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	var pairs map[string][2]string // a set with an outPath would become a string
	err := x.Eval(t.Context(), nix.EvalRequest{
		Installable: "path:" + dir + "#systems",
		Apply:       "builtins.mapAttrs (_: d: [ d.drvPath d.outPath ])",
	}, &pairs)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]flake.Derivation{}
	for name, pair := range pairs {
		out[name] = flake.Derivation{DrvPath: pair[0], OutPath: pair[1]}
	}
	return out
}

// tools is what all systems share, as those of one fleet do: a static busybox.
const tools = `platform: derivation {
    name = "tools"; system = platform; builder = "/bin/busybox"; args = [ "sh" "-c" ''
      set -e
      /bin/busybox mkdir -p $out/bin
      /bin/busybox cp /bin/busybox $out/busybox
      for applet in sh mkdir ln cat sleep touch rm readlink; do /bin/busybox ln -s $out/busybox $out/bin/$applet; done
    '' ];
  }`

// derivation is a system made of the tools, one program, and a content that makes it
// new to the store.
func derivation(name, program, content string, s system) string {
	script := fmt.Sprintf(`#!@out@/bin/sh
PATH=@out@/bin
mkdir -p /etc /run /var/log /boot
echo "$0 $*" >> /var/log/activations
if [ "$1" = boot ]; then %s echo @out@ > /boot/default; exit 0; fi
%s
[ ! -e /var/lib/sops-nix/key.txt ] || echo key >> /var/log/activations
echo %s > /etc/version
ln -sfn @out@ /run/current-system
echo "this is %s of %s"
%s
`, s.boot, s.before, s.version, s.version, name, s.after)
	builder := fmt.Sprintf(`set -e
PATH=
b=/bin/busybox
%s
$b mkdir -p $out/bin
$b cp -a $tools/bin/. $out/bin
$b chmod u+w $out/bin
echo "$content" > $out/content
echo "$script" | $b sed "s|@out@|$out|g" > $out/%s
$b chmod +x $out/%s
`, s.build, program, program)
	quote := func(text string) string {
		return "''" + strings.NewReplacer("''", "'''", "${", "''${").Replace(text) + "''"
	}
	return fmt.Sprintf(`derivation {
    name = "system-%s-%s"; system = "%s"; builder = "/bin/busybox"; args = [ "sh" "-c" %s ];
    script = %s; content = %s; tools = tools "%s";
  }`, name, s.version, cmp.Or(s.platform, nixSystem()), quote(builder), quote(script), quote(content), cmp.Or(s.platform, nixSystem()))
}

func nixSystem() string {
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]
	return arch + "-" + runtime.GOOS
}

// newNix is the real Nix with the project's settings.
func newNix(t testing.TB) *counted {
	t.Helper()
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(repo, ".cache/bin/nix")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("the tests need Nix: run .ci/setup (%v)", err)
	}
	tmp := t.TempDir()
	return &counted{tmp: tmp, Executor: nix.New(nix.Options{
		Program: program,
		Env:     append(os.Environ(), "TMPDIR="+tmp, "NIX_CONF_DIR="+filepath.Join(repo, ".ci/nix"), "PATH="+filepath.Join(repo, ".cache/bin")+":"+os.Getenv("PATH")),
		LogDir:  t.TempDir(),
	})}
}

// counted counts what is asked of Nix.
type counted struct {
	nix.Executor
	tmp                string // TMPDIR of all that a deploy starts and makes here
	mu                 sync.Mutex
	builds, copys, ask int
}

func (c *counted) Build(ctx context.Context, r nix.BuildRequest) ([]nix.BuildResult, error) {
	c.mu.Lock()
	c.builds++
	c.mu.Unlock()
	return c.Executor.Build(ctx, r)
}

func (c *counted) Copy(ctx context.Context, r nix.CopyRequest) error {
	c.mu.Lock()
	c.copys++
	c.mu.Unlock()
	return c.Executor.Copy(ctx, r)
}

func (c *counted) PathInfo(ctx context.Context, store string, paths ...string) (map[string]nix.PathInfo, error) {
	c.mu.Lock()
	c.ask++
	c.mu.Unlock()
	return c.Executor.PathInfo(ctx, store, paths...)
}

// recorder keeps events.
type recorder struct {
	mu     sync.Mutex
	events []deploy.Event
	hook   func(deploy.Event)
}

func (r *recorder) on(e deploy.Event) {
	r.mu.Lock()
	r.events = append(r.events, e)
	hook := r.hook
	r.mu.Unlock()
	if hook != nil {
		hook(e)
	}
}

// phases are the phases of a machine that came to their end, in order.
func (r *recorder) phases(machine string) []deploy.Phase {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []deploy.Phase
	for _, e := range r.events {
		if e.Machine == machine && (e.State == deploy.Done || e.Phase == deploy.End) {
			out = append(out, e.Phase)
		}
	}
	return out
}

const testKey = "AGE-SECRET-KEY-1TESTTESTTESTTESTTESTTESTTESTTESTTESTTESTTESTTESTTESTTEST"

func testMachineKey(context.Context, string) ([]byte, error) { return []byte(testKey), nil }

// options are what every deployer of a test has.
func options(x nix.Executor, r *recorder) deploy.Options {
	return deploy.Options{
		Nix: x, MachineKey: testMachineKey, OnEvent: r.on, Now: time.Now, Random: rand.Reader, Root: true,
	}
}

func newDeployer(t testing.TB, o deploy.Options) *deploy.Deployer {
	t.Helper()
	d := deploy.New(o)
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Errorf("closing the deployer: %v", err)
		}
	})
	return d
}

// machine is a machine with a secret, to be deployed at an address.
func machine(name string, class flake.Class, address string, top flake.Derivation) deploy.Machine {
	return deploy.Machine{Name: name, Class: class, Address: address, Details: &flake.Details{
		Name: name, System: nixSystem(), SecretUploadDirectory: "/var/lib/sops-nix", Toplevel: &top,
		Generators: map[string]*flake.Generator{"g": {Files: map[string]*flake.File{"f": {Secret: true, Deploy: true}}}},
	}}
}

func result(t *testing.T, s *deploy.Summary, machine string) deploy.Result {
	t.Helper()
	i := slices.IndexFunc(s.Results, func(r deploy.Result) bool { return r.Machine == machine })
	if i < 0 {
		t.Fatalf("the summary lacks %s", machine)
	}
	return s.Results[i]
}

func wantState(t *testing.T, s *deploy.Summary, machine string, want deploy.State, texts ...string) {
	t.Helper()
	r := result(t, s, machine)
	if r.State != want {
		t.Errorf("%s is %q (%s), want %q", machine, r.State, r.Message, want)
	}
	for _, text := range texts {
		if !strings.Contains(r.Message+"\n"+r.Next, text) {
			t.Errorf("%s says %q, next %q; want %q in it", machine, r.Message, r.Next, text)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return strings.TrimSpace(string(data))
}

func readLink(t *testing.T, path string) string {
	t.Helper()
	to, err := os.Readlink(path)
	if err != nil {
		t.Error(err)
	}
	return to
}

func noMachineKey() error { return fmt.Errorf("keys of nokey: %w", secrets.ErrNoMachineKey) }
