package core_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
)

// target is a root directory that stands for a machine: busybox, the real sops,
// two users, and the machine's age key.
type target struct {
	t    *testing.T
	root string
	key  *age.X25519Identity
}

// secret is a line of the installer's manifest.
type secret struct {
	name, value, mode, owner, group, units string
}

func newTarget(t *testing.T) *target {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("this test changes its root directory and must run as root")
	}
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	m := &target{t: t, root: t.TempDir(), key: key}
	for _, dir := range []string{"bin", "etc", "proc", "run", "var/lib/sops-nix", "secrets", "dev"} {
		if err := os.MkdirAll(filepath.Join(m.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	m.install("/bin/busybox", "bin/busybox")
	m.install(program(t, "sops"), "bin/sops")
	m.write("etc/passwd", "root:x:0:0::/:/bin/sh\nalice:x:1000:100::/:/bin/sh\n")
	m.write("etc/group", "root:x:0:\nusers:x:100:\nkeys:x:96:\n")
	m.write("dev/null", "")
	m.writeKey(key)
	script, err := os.ReadFile("machine/secrets/install.sh")
	if err != nil {
		t.Fatal(err)
	}
	m.write("install.sh", string(script))
	m.mustRun("/bin/busybox", "--install", "-s", "/bin")
	return m
}

// install puts a static program into the root: a link where that works, for it
// may be large.
func (m *target) install(from, to string) {
	m.t.Helper()
	if os.Link(from, filepath.Join(m.root, to)) == nil {
		return
	}
	data, err := os.ReadFile(from)
	if err != nil {
		m.t.Fatalf("%v: run .ci/setup", err)
	}
	if err := os.WriteFile(filepath.Join(m.root, to), data, 0o755); err != nil {
		m.t.Fatal(err)
	}
}

func (m *target) write(path, data string) {
	m.t.Helper()
	write(m.t, filepath.Join(m.root, path), []byte(data))
}

func (m *target) writeKey(key *age.X25519Identity) {
	m.t.Helper()
	m.write("var/lib/sops-nix/key.txt", key.String()+"\n")
}

// manifest encrypts the secrets to the machine, as package secrets does.
func (m *target) manifest(secrets ...secret) {
	m.t.Helper()
	var lines strings.Builder
	for i, s := range secrets {
		plain := filepath.Join(m.t.TempDir(), "plain")
		write(m.t, plain, []byte(s.value))
		cmd := exec.Command(program(m.t, "sops"), "encrypt", "--age", m.key.Recipient().String(),
			"--input-type", "binary", "--output-type", "binary", plain)
		data, err := cmd.Output()
		if err != nil {
			m.t.Fatal(err)
		}
		source := fmt.Sprintf("secrets/%d", i)
		m.write(source, string(data))
		fmt.Fprintf(&lines, "%s\n", strings.Join([]string{s.name, "/" + source, s.mode, s.owner, s.group, s.units}, "\t"))
	}
	m.write("manifest", lines.String())
}

// run runs a program below the root, in its own mount and process namespaces.
func (m *target) run(args ...string) (output string, code int) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0])
	cmd.Args = args
	cmd.Path, cmd.Err = args[0], nil
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot:       m.root,
		Unshareflags: syscall.CLONE_NEWNS,
		Cloneflags:   syscall.CLONE_NEWPID,
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.t.Fatal(err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

func (m *target) mustRun(args ...string) string {
	m.t.Helper()
	out, code := m.run(args...)
	if code != 0 {
		m.t.Fatalf("%v: exit status %d\n%s", args, code, out)
	}
	return out
}

func (m *target) installSecrets() (output string, code int) {
	m.t.Helper()
	return m.run("/bin/sh", "/install.sh", "/manifest", "/run/secrets", "/var/lib/sops-nix/key.txt", "/bin/sops", "cinnabar")
}

func (m *target) mustInstall() string {
	m.t.Helper()
	out, code := m.installSecrets()
	if code != 0 {
		m.t.Fatalf("exit status %d\n%s", code, out)
	}
	return out
}

// generation is what /run/secrets points to, below the root.
func (m *target) generation() string {
	m.t.Helper()
	link, err := os.Readlink(filepath.Join(m.root, "run/secrets"))
	if err != nil {
		m.t.Fatal(err)
	}
	return filepath.Join(m.root, link)
}

func (m *target) wantSecret(s secret, uid, gid uint32, mode os.FileMode) {
	m.t.Helper()
	path := filepath.Join(m.generation(), s.name)
	data, err := os.ReadFile(path)
	if err != nil {
		m.t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		m.t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if string(data) != s.value || owner.Uid != uid || owner.Gid != gid || info.Mode().Perm() != mode {
		m.t.Errorf("%s is %q, %d:%d, %o; want %q, %d:%d, %o", s.name, data, owner.Uid, owner.Gid, info.Mode().Perm(), s.value, uid, gid, mode)
	}
}

func (m *target) wantGenerations(want ...string) {
	m.t.Helper()
	entries, err := os.ReadDir(filepath.Join(m.root, "run/secrets.d"))
	if err != nil {
		m.t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		m.t.Errorf("the generations are %v, want %v", got, want)
	}
}

func (m *target) restarted() string {
	data, _ := os.ReadFile(filepath.Join(m.root, "run/nixos/activation-restart-list"))
	return string(data)
}

var (
	hostKey  = secret{name: "ssh.key", value: "private\n\x00binary", mode: "0400", owner: "0", group: "0", units: "sshd.service,sshd.socket"}
	password = secret{name: "web.password", value: "no newline", mode: "0440", owner: "alice", group: "users", units: "web.service"}
	empty    = secret{name: "web.empty", value: "", mode: "0444", owner: "alice", group: "keys"}
)

func TestInstallSecrets(t *testing.T) {
	m := newTarget(t)
	m.manifest(hostKey, password, empty)
	m.mustInstall()
	m.wantSecret(hostKey, 0, 0, 0o400)
	m.wantSecret(password, 1000, 100, 0o440)
	m.wantSecret(empty, 1000, 96, 0o444)
	m.wantGenerations("1")
	if got := m.restarted(); got != "" {
		t.Errorf("a machine that boots restarts %q", got)
	}
	info, err := os.Stat(m.generation())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o751 {
		t.Errorf("the generation has mode %o, want 751: entered but not listed", info.Mode().Perm())
	}

	// The same again changes nothing, not even the generation.
	m.mustInstall()
	m.wantGenerations("1")

	// Nor does what a run left that was killed.
	m.write("run/secrets.d/2/stale", "from a run that was killed")
	m.write("run/secrets.d/0/stale", "from a run that was killed")
	m.mustInstall()
	m.wantGenerations("1")
	m.write("run/secrets.d/2/stale", "from a run that was killed")

	changed := password
	changed.value = "another"
	m.manifest(hostKey, changed, empty)
	m.mustInstall()
	m.wantGenerations("2")
	m.wantSecret(changed, 1000, 100, 0o440)
	if _, err := os.Stat(filepath.Join(m.generation(), "stale")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the generation holds what a killed run left: %v", err)
	}
	if got := m.restarted(); got != "web.service\n" {
		t.Errorf("restarts %q, want the unit of what changed", got)
	}

	// A secret that is no longer wanted goes away.
	m.manifest(hostKey, changed)
	m.mustInstall()
	m.wantGenerations("3")
	if _, err := os.Stat(filepath.Join(m.generation(), empty.name)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("web.empty is still there: %v", err)
	}

	// So does a mode that changed, without a change of the value.
	moded := changed
	moded.mode = "0400"
	m.manifest(hostKey, moded)
	m.mustInstall()
	m.wantSecret(moded, 1000, 100, 0o400)
}

func TestInstallSecretsFails(t *testing.T) {
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name   string
		break_ func(m *target)
		want   []string
	}{
		{
			name:   "no key",
			break_: func(m *target) { os.Remove(filepath.Join(m.root, "var/lib/sops-nix/key.txt")) },
			want:   []string{"cannot decrypt the secret ssh.key", "/var/lib/sops-nix/key.txt, is missing", "`fleet host bootstrap cinnabar`"},
		},
		{
			name:   "another key",
			break_: func(m *target) { m.writeKey(other) },
			want:   []string{"cannot decrypt the secret ssh.key with the key /var/lib/sops-nix/key.txt"},
		},
		{
			name:   "a broken file",
			break_: func(m *target) { m.write("secrets/1", "{}") },
			want:   []string{"cannot decrypt the secret web.password"},
		},
		{
			name:   "an unknown owner",
			break_: func(m *target) { m.write("etc/passwd", "root:x:0:0::/:/bin/sh\n") },
			want:   []string{"the secret web.password cannot belong to alice:users"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			m := newTarget(t)
			m.manifest(hostKey, password)
			m.mustInstall()
			changed := hostKey
			changed.value = "changed"
			m.manifest(changed, password)
			c.break_(m)
			out, code := m.installSecrets()
			if code != 1 {
				t.Errorf("exit status %d, want 1\n%s", code, out)
			}
			for _, want := range append(c.want, "the secrets in /run/secrets stay as they were") {
				if !strings.Contains(out, want) {
					t.Errorf("the message lacks %q:\n%s", want, out)
				}
			}
			if strings.Contains(out, changed.value) || strings.Contains(out, password.value) {
				t.Errorf("the message tells a secret:\n%s", out)
			}
			m.wantGenerations("1")
			m.wantSecret(hostKey, 0, 0, 0o400)
			if got := m.restarted(); got != "" {
				t.Errorf("restarts %q", got)
			}
		})
	}
}

// What fails while the machine boots is in the kernel's log, from where the
// journal has it; later it is said to who switches only.
func TestInstallSecretsWhileBooting(t *testing.T) {
	m := newTarget(t)
	m.write("dev/kmsg", "")
	m.manifest(hostKey)
	if err := os.Remove(filepath.Join(m.root, "var/lib/sops-nix/key.txt")); err != nil {
		t.Fatal(err)
	}
	kernelLog := func() string {
		data, err := os.ReadFile(filepath.Join(m.root, "dev/kmsg"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	m.installSecrets()
	if want := "<3>fleet: cannot decrypt the secret ssh.key: the key of this machine, /var/lib/sops-nix/key.txt, is missing"; !strings.HasPrefix(kernelLog(), want) {
		t.Errorf("the kernel's log has %q, want %q", kernelLog(), want)
	}
	m.writeKey(m.key)
	m.mustInstall()
	before := kernelLog()
	m.write("secrets/0", "{}")
	if out, code := m.installSecrets(); code != 1 || kernelLog() != before {
		t.Errorf("exit status %d\n%s\nkernel's log: %q", code, out, kernelLog())
	}
}

// Run by a unit, with no switch to note it for, the installer has systemd
// restart what reads the secrets that changed, once they are there.
func TestInstallSecretsRestartsUnits(t *testing.T) {
	m := newTarget(t)
	m.write("bin/systemctl", "#!/bin/sh\necho \"$@\" \"$(cat /run/secrets/web.password)\" >>/asked\n")
	if err := os.Chmod(filepath.Join(m.root, "bin/systemctl"), 0o755); err != nil {
		t.Fatal(err)
	}
	install := func(value string) string {
		t.Helper()
		changed := password
		changed.value, changed.units = value, "web.service,db.service"
		m.manifest(hostKey, changed, empty)
		m.mustRun("/bin/sh", "-ec", "FLEET_RESTART=now /bin/sh /install.sh /manifest /run/secrets /var/lib/sops-nix/key.txt /bin/sops cinnabar")
		asked, err := os.ReadFile(filepath.Join(m.root, "asked"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return string(asked)
	}
	if got := install("first"); got != "" {
		t.Errorf("while booting it asks for %q", got)
	}
	if got, want := install("second"), "try-restart --no-block -- db.service web.service second\n"; got != want {
		t.Errorf("it asks for %q, want %q", got, want)
	}
	if got := m.restarted(); got != "" {
		t.Errorf("it notes %q for a switch as well", got)
	}
}

// Until every file has its owner and mode, nobody but root gets at any of them.
func TestInstallSecretsHidesUnfinished(t *testing.T) {
	m := newTarget(t)
	m.manifest(hostKey, password)
	m.write("bin/watched-sops", "#!/bin/sh\nstat -c %a /run/secrets.d/1 >>/seen\nexec /bin/sops \"$@\"\n")
	if err := os.Chmod(filepath.Join(m.root, "bin/watched-sops"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.mustRun("/bin/sh", "/install.sh", "/manifest", "/run/secrets", "/var/lib/sops-nix/key.txt", "/bin/watched-sops", "cinnabar")
	seen, err := os.ReadFile(filepath.Join(m.root, "seen"))
	if err != nil {
		t.Fatal(err)
	}
	if string(seen) != "700\n700\n" {
		t.Errorf("while decrypting, the generation has the modes %q", seen)
	}
}

// On a machine of its own the secrets lie on a file system in memory; a root
// directory of another machine has nothing mounted into it.
func TestInstallSecretsOnMemory(t *testing.T) {
	const install = "/bin/sh /install.sh /manifest /run/secrets /var/lib/sops-nix/key.txt /bin/sops cinnabar"
	m := newTarget(t)
	m.manifest(hostKey)
	out := m.mustRun("/bin/sh", "-ec", "mount -t proc proc /proc; "+install+"; "+install+
		"; stat -f -c %T /run/secrets.d; ls /run/secrets.d; grep -c /run/secrets.d /proc/mounts")
	if out != "ramfs\n1\n1\n" && out != "tmpfs\n1\n1\n" {
		t.Errorf("got %q, want one file system in memory with one generation", out)
	}

	m = newTarget(t)
	m.manifest(hostKey)
	out = m.mustInstall()
	m.wantSecret(hostKey, 0, 0, 0o400)
	var fs syscall.Statfs_t
	if err := syscall.Statfs(m.root, &fs); err != nil {
		t.Fatal(err)
	}
	const tmpfs = 0x01021994
	if warned := strings.Contains(out, "warning: nothing can be mounted"); warned != (fs.Type != tmpfs) {
		t.Errorf("on file system %x the installer says %q", fs.Type, out)
	}
}

func TestInstallerIsCleanShell(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), program(t, "shellcheck"), "--shell=sh", "machine/secrets/install.sh").CombinedOutput()
	if err != nil {
		t.Errorf("shellcheck: %v\n%s", err, out)
	}
}
