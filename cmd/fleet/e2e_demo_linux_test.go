package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/testhost"
)

// limit bounds every wait of the end-to-end test; machines are slow at times.
const limit = 2 * time.Minute

// demo is a demo fleet whose servers are test hosts, and the program that runs
// it. The program has a home folder of its own, bound over /root, because
// OpenSSH looks for ~/.ssh/config there whatever HOME says.
type demo struct {
	program   string
	dir, home string
	tmp       string // TMPDIR of the program
	env       []string
	token     string // in the environment of all that the program starts
	net       *testhost.Network
	hosts     map[string]*testhost.Host // by the names of machines

	secrets map[string][]byte // plaintext, by machine/generator/file
	watcher *watcher          // what the processes of the run let everybody see

	mu   sync.Mutex
	said bytes.Buffer // all that the program ever printed
}

// newProgram builds the program, which knows hosts, by machine, and has no fleet.
func newProgram(t *testing.T, n *testhost.Network, hosts map[string]*testhost.Host) *demo {
	t.Helper()
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	tools := filepath.Join(repo, ".cache/bin")
	for _, tool := range []string{filepath.Join(tools, "nix"), filepath.Join(tools, "sops"), "/bin/busybox", "/bin/bash-static", "/usr/bin/bwrap", "/usr/bin/ssh", "/usr/bin/git", "/usr/bin/unshare"} {
		if _, err := os.Stat(tool); err != nil {
			t.Fatalf("%s is missing: run .ci/setup", tool)
		}
	}
	work := t.TempDir()
	d := &demo{
		program: filepath.Join(work, "fleet"),
		dir:     filepath.Join(work, "demo"), home: filepath.Join(work, "home"), tmp: filepath.Join(work, "tmp"),
		token: "e2e-" + filepath.Base(filepath.Dir(work)), net: n, hosts: hosts,
	}
	d.env = []string{
		"HOME=/root", "USER=root", "LANG=C.UTF-8", "TMPDIR=" + d.tmp, "XDG_SESSION_ID=" + d.token,
		"PATH=" + tools + ":/usr/sbin:/usr/bin:/sbin:/bin",
		"NIX_CONF_DIR=" + filepath.Join(repo, ".ci/nix"), "NIX_USER_CONF_FILES=/dev/null", "GIT_CONFIG_GLOBAL=/dev/null",
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", d.program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, dir := range []string{d.home, filepath.Join(d.home, ".ssh"), d.tmp} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	key, err := os.ReadFile(n.ClientKey)
	if err != nil {
		t.Fatal(err)
	}
	d.write(t, "../home/.ssh/fleet_key", string(key))
	d.write(t, "../home/.ssh/config", "Host 10.213.*\n  IdentityFile ~/.ssh/fleet_key\n  IdentitiesOnly yes\n  IdentityAgent none\n  GlobalKnownHostsFile /dev/null\n  ConnectTimeout 5\n")
	for _, h := range hosts {
		d.know(t, h.IP.String(), h.HostKey)
	}
	return d
}

// newDemo builds the program and makes the fleet for hosts, by machine.
func newDemo(t *testing.T, n *testhost.Network, hosts map[string]*testhost.Host) *demo {
	t.Helper()
	d := newProgram(t, n, hosts)
	d.must(t, "init", "--template", "demo", d.dir)
	inventory := d.read(t, "modules/inventory/machines.nix")
	for name, h := range hosts {
		target := fmt.Sprintf("%q", "root:.roots/"+name)
		if !strings.Contains(inventory, target) {
			t.Fatalf("the demo has no machine with the target %s", target)
		}
		inventory = strings.Replace(inventory, target, fmt.Sprintf("%q", address(h)), 1)
	}
	d.write(t, "modules/inventory/machines.nix", inventory)
	d.write(t, "e2e.json", "{}")
	for _, module := range []string{"e2e.nix", "phrase.nix"} {
		d.write(t, "modules/"+module, testdata(t, module))
	}
	return d
}

func address(h *testhost.Host) string { return "ssh://root@" + h.IP.String() }

func testdata(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/e2e", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// know adds a key to what the program trusts.
func (d *demo) know(t *testing.T, ip, key string) {
	t.Helper()
	file := filepath.Join(d.home, ".ssh/known_hosts")
	known, _ := os.ReadFile(file)
	if err := os.WriteFile(file, fmt.Appendf(known, "%s %s\n", ip, strings.TrimSpace(key)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// write writes a file of the fleet and tells git of it.
func (d *demo) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if strings.HasPrefix(name, "../") {
		return
	}
	if out, err := exec.Command("git", "-C", d.dir, "add", "--intent-to-add", name).CombinedOutput(); err != nil {
		t.Fatalf("git add: %v\n%s", err, out)
	}
}

func (d *demo) remove(t *testing.T, name string) {
	t.Helper()
	if out, err := exec.Command("git", "-C", d.dir, "rm", "--quiet", "--force", name).CombinedOutput(); err != nil {
		t.Fatalf("git rm: %v\n%s", err, out)
	}
}

func (d *demo) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// variant is what e2e.nix varies in one machine.
type variant struct {
	Version  string `json:"version,omitempty"`
	Payload  int    `json:"payload,omitempty"`
	Build    string `json:"build,omitempty"`
	Activate string `json:"activate,omitempty"`
	Service  string `json:"service,omitempty"`
}

// declare changes the systems of the named machines; those of the others stay.
func (d *demo) declare(t *testing.T, changes map[string]variant) {
	t.Helper()
	all := map[string]variant{}
	if err := json.Unmarshal([]byte(d.read(t, "e2e.json")), &all); err != nil {
		t.Fatal(err)
	}
	for name, v := range changes {
		all[name] = v
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	d.write(t, "e2e.json", string(text))
}

// process is one run of the program.
type process struct {
	cmd  *exec.Cmd
	demo *demo
	done chan struct{}
	args []string

	mu       sync.Mutex
	out, err bytes.Buffer
}

// stream hands what the program prints on to the process and the demo.
type stream struct {
	p    *process
	into *bytes.Buffer
}

func (s stream) Write(b []byte) (int, error) {
	s.p.demo.mu.Lock()
	s.p.demo.said.Write(b)
	s.p.demo.mu.Unlock()
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	return s.into.Write(b)
}

func (p *process) stdout() string { p.mu.Lock(); defer p.mu.Unlock(); return p.out.String() }
func (p *process) stderr() string { p.mu.Lock(); defer p.mu.Unlock(); return p.err.String() }

func (p *process) String() string {
	return fmt.Sprintf("$ fleet %s\n%s%s", strings.Join(p.args, " "), p.stdout(), p.stderr())
}

// start begins a run in the fleet's folder; env is added to its environment.
func (d *demo) start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	const enter = `/bin/busybox mount -o bind "$1" /root; shift; exec "$@"`
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	cmd := exec.CommandContext(ctx, "/usr/bin/unshare", append([]string{"--mount", "/bin/bash-static", "-ec", enter, "-", d.home, d.program}, args...)...)
	p := &process{cmd: cmd, demo: d, done: make(chan struct{}), args: args}
	cmd.Env = append(slices.Clone(d.env), env...)
	cmd.Dir = d.dir
	if _, err := os.Stat(d.dir); err != nil {
		cmd.Dir = d.home
	}
	cmd.Stdout, cmd.Stderr = stream{p, &p.out}, stream{p, &p.err}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C goes to a process group
	cmd.WaitDelay = 5 * time.Second                       // for whoever holds its streams after its end
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	go func() {
		defer cancel()
		defer close(p.done)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() { cancel(); <-p.done })
	return p
}

// interrupt is a Ctrl-C.
func (p *process) interrupt(t *testing.T) {
	t.Helper()
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Fatal(err)
	}
}

// wait gives the exit code and checks that nothing of the run is left.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	<-p.done
	code := p.cmd.ProcessState.ExitCode()
	if code < 0 {
		t.Errorf("fleet was killed (%s):\n%s", p.cmd.ProcessState, p)
	}
	p.wantNoProcess(t)
	files, err := os.ReadDir(p.demo.tmp)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Errorf("fleet %s left %s in TMPDIR", strings.Join(p.args, " "), f.Name())
	}
	return code
}

func (p *process) wantNoProcess(t *testing.T) {
	t.Helper()
	for _, left := range p.demo.leftovers() {
		t.Errorf("fleet %s left a process behind: %s", strings.Join(p.args, " "), left)
	}
}

// expect runs the program to its end, which must be this code.
func (d *demo) expect(t *testing.T, code int, args ...string) *process {
	t.Helper()
	p := d.start(t, nil, args...)
	if got := p.wait(t); got != code {
		t.Fatalf("exit code %d, want %d:\n%s", got, code, p)
	}
	return p
}

func (d *demo) must(t *testing.T, args ...string) *process {
	t.Helper()
	return d.expect(t, 0, args...)
}

// leftovers are the processes that the program started and that still live. A
// builder knows the program only by the derivation, which carries the token too.
func (d *demo) leftovers() []string {
	var left []string
	for pid, p := range processes() {
		if slices.ContainsFunc(p.environ, func(entry string) bool { return strings.Contains(entry, d.token) }) {
			left = append(left, fmt.Sprintf("%d %s", pid, strings.Join(p.args, " ")))
		}
	}
	return left
}

func (p *process) lastLine() string {
	lines := strings.Split(strings.TrimSpace(p.stderr()), "\n")
	return lines[len(lines)-1]
}

// row is a machine's line in the table of an update.
type row struct{ target, state, system string }

// rows reads the table.
func (p *process) rows(t *testing.T) map[string]row {
	t.Helper()
	table := map[string]row{}
	var at [3]int
	for line := range strings.Lines(p.stdout()) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "MACHINE") {
			at = [3]int{strings.Index(line, "TARGET"), strings.Index(line, "STATE"), strings.Index(line, "SYSTEM")}
			continue
		}
		if at[0] <= 0 || len(line) < at[2] {
			t.Fatalf("cannot read the table:\n%s", p)
		}
		cell := func(from, to int) string { return strings.TrimSpace(line[from:to]) }
		table[cell(0, at[0])] = row{cell(at[0], at[1]), cell(at[1], at[2]), line[at[2]:]}
	}
	return table
}

// wantStates compares the states of machines with the table.
func (p *process) wantStates(t *testing.T, want map[string]string) {
	t.Helper()
	got := p.rows(t)
	for machine, state := range want {
		if got[machine].state != state {
			t.Errorf("%s is %q, want %q", machine, got[machine].state, state)
		}
	}
	if len(got) != len(want) {
		t.Errorf("the table speaks of %d machines, want %d", len(got), len(want))
	}
	if t.Failed() {
		t.Log(p)
	}
}

// problem is what was said about a machine's failure, and the next command.
func (p *process) problem(machine string) (text, next string) {
	_, rest, found := strings.Cut(p.stderr(), "error: "+machine+": ")
	if !found {
		return "", ""
	}
	text, _, _ = strings.Cut(rest, "\nerror: ")
	text, next, _ = strings.Cut(text, "\n  next: ")
	next, _, _ = strings.Cut(next, "\n")
	return text, next
}

// wantProblem compares parts of what was said about a machine's failure.
func (p *process) wantProblem(t *testing.T, machine, next string, texts ...string) {
	t.Helper()
	text, gotNext := p.problem(machine)
	for _, want := range texts {
		if !strings.Contains(text, want) {
			t.Errorf("of %s is said %q, want %q in it", machine, text, want)
		}
	}
	if !strings.Contains(gotNext, next) || (next == "") != (gotNext == "") {
		t.Errorf("the next command for %s is %q, want %q", machine, gotNext, next)
	}
}
