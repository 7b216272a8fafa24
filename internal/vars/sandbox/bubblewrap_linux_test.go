package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/crs58/fleet/internal/nix"
	"github.com/crs58/fleet/internal/nix/nixtest"
)

// sandboxed runs a script with some inputs and prompts.
func sandboxed(t *testing.T, ctx context.Context, limits Limits, script string) (map[string][]byte, error) {
	t.Helper()
	s, err := New(os.Environ(), limits)
	if err != nil {
		t.Fatal(err)
	}
	s.memory = memory(t)
	outputs, err := s.Run(ctx, Job{
		Script: build(t, script), Host: "web",
		Inputs:  map[string]map[string][]byte{"dep": {"secret": []byte("secret of dep\n"), "public": []byte("public of dep")}},
		Prompts: map[string][]byte{"word": []byte("prompted")},
		Public:  func(_, file string) bool { return file == "public" },
	})
	nothingLeft(t, s.memory)
	return outputs, err
}

// memory is a folder like /dev/shm that no other test uses.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fleet-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

func nothingLeft(t *testing.T, memory string) {
	t.Helper()
	if left, _ := filepath.Glob(memory + "/*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// build makes a script and gives its path.
func build(t *testing.T, text string) string {
	t.Helper()
	script := nixtest.Scripts(t, text)[0]
	x := nix.New(nix.Options{Env: nixtest.Env(t)})
	if _, err := x.Build(t.Context(), nix.BuildRequest{Installables: []string{script.DrvPath + "^out"}}); err != nil {
		t.Fatal(err)
	}
	return script.OutPath
}

// ample are limits that no test reaches unless it wants to.
var ample = Limits{Timeout: 2 * time.Minute, FileBytes: 16 << 20, LogBytes: 64 << 10}

// want runs a script that must succeed, and compares what it wrote to $out/o.
func want(t *testing.T, script, out string) {
	t.Helper()
	outputs, err := sandboxed(t, t.Context(), ample, script)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(outputs["o"]); got != out {
		t.Errorf("got %q, want %q", got, out)
	}
}

func TestGives(t *testing.T) {
	want(t, `cat $in/dep/secret $in/dep/public $prompts/word > $out/o`, "secret of dep\npublic of depprompted")
	want(t, `echo $(id -u) $(id -g) $(id -un) $(hostname) $HOME $TMPDIR $(pwd) > $out/o; echo x > /tmp/x; sh -c 'echo $0' >> $out/o`, "1000 1000 fleet web /tmp /tmp /tmp\nsh\n")
}

func TestNetwork(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	reached := make(chan struct{}, 1)
	go func() {
		if c, err := server.Accept(); err == nil {
			_ = c.Close()
			reached <- struct{}{}
		}
	}()
	_, port, _ := net.SplitHostPort(server.Addr().String())
	want(t, `(echo hello > /dev/tcp/127.0.0.1/`+port+`) 2>/dev/null && echo reached > $out/o || echo walled > $out/o; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' \n' >> $out/o`, "walled\nlo")
	select {
	case <-reached:
		t.Error("the script reached a server of the host")
	default:
	}
	// Nor an abstract socket, which no file system guards.
	abstract, err := net.Listen("unix", "@fleet-vars-test-"+strconv.Itoa(os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	defer abstract.Close()
	want(t, `grep -c fleet-vars-test /proc/net/unix > $out/o || true`, "0\n")
}

func TestEnvironment(t *testing.T) {
	t.Setenv("SOPS_AGE_KEY", "AGE-SECRET-KEY-CANARY")
	t.Setenv("FLEET_CANARY", "canary")
	want(t, `env | cut -d= -f1 | sort | grep -v '^\(_\|SHLVL\|OLDPWD\)$' | tr '\n' ' ' > $out/o`, "HOME PATH PWD TMPDIR in out prompts ")
	want(t, `for e in /proc/[0-9]*/environ; do tr '\0' '\n' < $e | grep -i canary; done > $out/o || true`, "")
}

func TestProcesses(t *testing.T) {
	pid := strconv.Itoa(os.Getpid())
	// Only the sandbox's own init, bash, and what bash starts.
	want(t, `ls -d /proc/[0-9]* | wc -l | awk '{ print ($1 <= 6) ? "few" : "many" }' > $out/o
grep -l sandbox.test /proc/[0-9]*/cmdline 2>/dev/null >> $out/o || true
kill -0 `+pid+` 2>/dev/null && echo signalled >> $out/o || true`, "few\n")
}

func TestPrivilege(t *testing.T) {
	want(t, `grep -E '^(CapEff|CapPrm|CapBnd|NoNewPrivs)' /proc/self/status > $out/o`, "CapPrm:\t0000000000000000\nCapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n")
	before, err := os.ReadFile("/proc/sys/kernel/core_pattern")
	if err != nil {
		t.Fatal(err)
	}
	// Root of the host is still root to the kernel's switches.
	want(t, `(echo '|/evil' > /proc/sys/kernel/core_pattern) 2>/dev/null && echo written > $out/o || echo walled > $out/o
mount -t tmpfs none /tmp 2>/dev/null && echo mounted >> $out/o || true
tty > /dev/null && echo terminal >> $out/o || true
(echo x > /dev/tty) 2>/dev/null && echo tty >> $out/o || true
chmod 666 /dev/null /dev/zero 2>/dev/null && echo changed >> $out/o || true
for f in /proc/sysrq-trigger /proc/sys/kernel/modprobe /proc/sys/kernel/sysrq /proc/sys/vm/* /proc/sys/fs/file-max /proc/sys/fs/suid_dumpable; do
  if [ -w $f ]; then echo writable: $f >> $out/o; fi
done`, "walled\n")
	after, _ := os.ReadFile("/proc/sys/kernel/core_pattern")
	if string(before) != string(after) {
		_ = os.WriteFile("/proc/sys/kernel/core_pattern", before, 0o644)
		t.Errorf("the kernel was changed: %s", after)
	}
}

func TestFiles(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "fleet-host-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.WriteFile(dir+"/canary", []byte("canary"), 0o644); err != nil {
		t.Fatal(err)
	}
	cwd, _ := os.Getwd()
	want(t, `ls / | tr '\n' ' ' > $out/o; ls -A /tmp | wc -l >> $out/o
for f in `+dir+`/canary `+cwd+`/doc.go /root /home /etc/shadow /var /run /sys /nix/var /dev/kmsg /dev/mem /dev/sda; do
  if [ -e $f ]; then echo there: $f >> $out/o; fi
done
for f in / /etc /nix /nix/store /in /prompts /in/dep /dev /proc /usr; do
  (echo leak > $f/leak) 2>/dev/null && echo writable: $f >> $out/o
done
(echo changed > /in/dep/public) 2>/dev/null && echo changed >> $out/o
echo leak > /tmp/fleet-leak`, "bin dev etc in nix out proc prompts tmp 0\n")
	if _, err := os.Stat("/tmp/fleet-leak"); err == nil {
		t.Error("the script wrote to the host's /tmp")
	}
}

// Another script's folders, and what others keep in the host's memory.
func TestMemoryOfOthers(t *testing.T) {
	other := memory(t)
	if err := os.WriteFile(filepath.Join(other, "canary"), []byte("canary"), 0o644); err != nil {
		t.Fatal(err)
	}
	want(t, `ls -A /dev/shm > $out/o; [ ! -e `+other+`/canary ] && [ ! -e `+other+` ] && echo walled >> $out/o; echo x > /dev/shm/x; ls -A /dev/shm >> $out/o`, "walled\nx\n")
	if _, err := os.Stat("/dev/shm/x"); err == nil {
		t.Error("the script wrote into the host's memory")
	}
}

// Through an open folder a script would leave all other walls.
func TestDescriptors(t *testing.T) {
	folder, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY, 0) // inherited, unlike all that Go opens
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(folder)
	// The last one is the folder that ls reads.
	want(t, `ls /proc/self/fd | tr '\n' ' ' > $out/o; readlink /proc/self/fd/0 >> $out/o`, "0 1 2 3 /dev/null\n")
}

func TestTimeout(t *testing.T) {
	start := time.Now()
	_, err := sandboxed(t, t.Context(), Limits{Timeout: 700 * time.Millisecond, FileBytes: ample.FileBytes, LogBytes: ample.LogBytes}, `trap '' TERM INT HUP; echo waiting; sleep 4711 & sleep 4711; sleep 4711`)
	var script *Error
	if !errors.As(err, &script) || !strings.Contains(err.Error(), "did not end within 700ms and was killed") || !strings.Contains(err.Error(), "waiting") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	noProcess(t, "4711")
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	go func() { time.Sleep(500 * time.Millisecond); cancel() }()
	if _, err := sandboxed(t, ctx, ample, `setsid sleep 4712 & sleep 4712`); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	noProcess(t, "4712")
}

// What a script leaves running is dead before its values are read.
func TestChildrenLeftBehind(t *testing.T) {
	outputs, err := sandboxed(t, t.Context(), ample, `
(setsid sh -c 'while :; do echo more >> $out/o; done' >/dev/null 2>&1 </dev/null &)
(setsid sleep 4713 >/dev/null 2>&1 </dev/null &)
until [ -s $out/o ]; do :; done`)
	if err != nil {
		t.Fatal(err)
	}
	if len(outputs["o"]) == 0 {
		t.Error("nothing was written")
	}
	noProcess(t, "4713")
}

// noProcess wants nobody to sleep for some time.
func noProcess(t *testing.T, seconds string) {
	t.Helper()
	if process := running(seconds); process != "" {
		t.Errorf("still there: %s", process)
	}
}

// running finds a process that sleeps for some time; "" if there is none.
func running(seconds string) string { return naming("sleep\x00" + seconds) }

// naming finds a process with some text among its arguments; "" if there is none.
func naming(text string) string {
	lines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range lines {
		if data, _ := os.ReadFile(file); strings.Contains(string(data), text) {
			return file
		}
	}
	return ""
}

func TestSizes(t *testing.T) {
	limits := Limits{Timeout: ample.Timeout, FileBytes: 100_000, LogBytes: 2000}
	_, err := sandboxed(t, t.Context(), limits, `head -c 100001 /dev/zero > $out/o`)
	if err == nil || !strings.Contains(err.Error(), "larger than 100000 bytes") && !strings.Contains(err.Error(), "exit code") {
		t.Errorf("a large file: %v", err)
	}
	outputs, err := sandboxed(t, t.Context(), limits, `head -c 100000 /dev/zero > $out/o`)
	if err != nil || len(outputs["o"]) != 100_000 {
		t.Errorf("a file just small enough: %d bytes, %v", len(outputs["o"]), err)
	}
	_, err = sandboxed(t, t.Context(), limits, `for i in $(seq 20000); do echo line $i; done; exit 1`)
	if err == nil || len(err.Error()) > 4000 || !strings.Contains(err.Error(), "[…]") || !strings.Contains(err.Error(), "line 20000") {
		t.Errorf("much output: %.5000v", err)
	}
	_, err = sandboxed(t, t.Context(), limits, `for i in $(seq 300); do : > $out/$i; done`)
	if err == nil || !strings.Contains(err.Error(), "more than 256 files") {
		t.Errorf("many files: %v", err)
	}
	_, err = sandboxed(t, t.Context(), limits, `: > $out/$(printf 'a\033[31m')`)
	if err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("a name for terminals: %v", err)
	}
	_, err = sandboxed(t, t.Context(), limits, `mkdir $out/d; echo x > $out/d/x; chmod 0 $out/d $out`)
	if err == nil {
		t.Error("a locked folder: no error")
	}
	want(t, `ulimit -c > $out/o`, "0\n")
}

func TestWithoutBubblewrap(t *testing.T) {
	if _, err := New([]string{"PATH=" + t.TempDir()}, ample); err == nil || !strings.Contains(err.Error(), "install the package bubblewrap") {
		t.Errorf("got %v", err)
	}
}

func TestSweep(t *testing.T) {
	shm := t.TempDir()
	now := time.Now()
	for name, age := range map[string]time.Duration{"dead": time.Hour, "young": time.Second, "held": time.Hour} {
		dir := filepath.Join(shm, workspacePrefix+name)
		if err := os.MkdirAll(filepath.Join(dir, "in"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	held, err := os.Open(filepath.Join(shm, workspacePrefix+"held"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := flockExclusive(held); err != nil {
		t.Fatal(err)
	}
	sweep(shm, now)
	left, _ := filepath.Glob(shm + "/*")
	if got := fmt.Sprint(left); strings.Contains(got, "dead") || !strings.Contains(got, "young") || !strings.Contains(got, "held") {
		t.Errorf("left: %s", got)
	}
}

// sandboxVar makes this test binary run a script and print what it wrote.
const sandboxVar = "FLEET_SANDBOX_TEST" // MEMORY:SCRIPT

func runAndPrint(memory, script string) {
	s, err := New(os.Environ(), ample)
	if err != nil {
		panic(err)
	}
	s.memory = memory
	outputs, err := s.Run(context.Background(), Job{Script: script, Host: "web", Public: func(_, _ string) bool { return false }})
	fmt.Printf("%s%v", outputs["o"], err)
}

// When fleet is killed the script goes with it, and the next run removes what
// was left in memory.
func TestOfKilledFleet(t *testing.T) {
	d := build(t, `setsid sleep 4714 & echo > $out/o; sleep 4714`)
	shm := memory(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), sandboxVar+"="+shm+":"+d)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started := func() bool {
		left, _ := filepath.Glob(shm + "/*/out/o")
		return len(left) > 0
	}
	for end := time.Now().Add(10 * time.Second); !started() && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for end := time.Now().Add(5 * time.Second); naming(shm) != "" && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if process := naming(shm); process != "" {
		t.Errorf("still there: %s", process)
	}
	noProcess(t, "4714")
	if !started() {
		t.Fatal("the script had not begun")
	}
	sweep(shm, time.Now().Add(time.Minute))
	if started() {
		t.Error("what was left in memory is still there")
	}
}

// The same walls stand for an ordinary user, who has no privilege to begin with.
func TestOfOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Log("the other tests are this test")
		return
	}
	program := filepath.Join(t.TempDir(), "test")
	data, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(program); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	shm := memory(t)
	for script, want := range map[string]string{
		`echo $(id -u) $(grep CapEff /proc/self/status) > $out/o`:                  "1000 CapEff: 0000000000000000\n<nil>",
		`mkdir $out/locked; echo x > $out/locked/x; chmod 0 $out/locked # as user`: `left "locked" in $out`,
	} {
		d := build(t, script)
		cmd := exec.Command(program)
		cmd.Env = append(os.Environ(), sandboxVar+"="+shm+":"+d)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %s", err, out)
		}
	}
	nothingLeft(t, shm)
}
