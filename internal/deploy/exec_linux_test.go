package deploy_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crs58/fleet/internal/deploy"
	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/ssh"
	"github.com/crs58/fleet/internal/testhost"
)

// execOn runs a command on hosts, by their names, and gives what they printed.
func execOn(t *testing.T, o deploy.Options, c deploy.Command, machines ...deploy.Machine) (map[string]deploy.Ran, []string) {
	t.Helper()
	var lines []string
	if c.OnLine == nil {
		c.OnLine = func(l deploy.Line) { lines = append(lines, fmt.Sprintf("%s %s %s", l.Machine, l.Stream, l.Text)) }
	}
	if c.Timeout == 0 {
		c.Timeout = time.Minute
	}
	c.Parallel = max(c.Parallel, 8)
	all := map[string]deploy.Ran{}
	for _, r := range newDeployer(t, o).Exec(t.Context(), machines, c) {
		all[r.Machine] = r
	}
	slices.Sort(lines)
	return all, lines
}

func TestExec(t *testing.T) {
	n := testhost.NewNetwork(t)
	hosts := testhost.Lights(t, n, testhost.Options{Name: "one", Users: []testhost.User{{Name: "ann", Sudo: "(ALL) NOPASSWD: ALL"}}},
		testhost.Options{Name: "two"}, testhost.Options{Name: "cut"}, testhost.Options{Name: "off"})
	hosts[3].Kill()
	o := sshOptions(newNix(t), &recorder{}, n)
	reach := o.Dial
	o.Dial = func(ctx context.Context, machine string, host ssh.Target) (*ssh.Conn, error) {
		conn, err := reach(ctx, machine, host)
		if err != nil {
			return nil, err
		}
		return conn.AsRoot(ctx)
	}
	at := func(name, user string) deploy.Machine {
		return deploy.Machine{Name: name, Class: flake.NixOS, Address: "ssh://" + user + "@" + name}
	}
	asUser := o
	asUser.Dial = reach

	t.Run("user", func(t *testing.T) {
		_, lines := execOn(t, asUser, deploy.Command{Args: []string{"id", "-un"}}, at("one", "ann"), at("two", "root"))
		if want := []string{"one stdout ann", "two stdout root"}; !slices.Equal(lines, want) {
			t.Errorf("%q, want %q", lines, want)
		}
		_, lines = execOn(t, o, deploy.Command{Args: []string{"id", "-un"}, Root: true}, at("one", "ann"), at("two", "root"))
		if want := []string{"one stdout root", "two stdout root"}; !slices.Equal(lines, want) {
			t.Errorf("as root: %q, want %q", lines, want)
		}
	})
	t.Run("arguments", func(t *testing.T) {
		odd := []string{"a b", `'"\$(id)`, "", "ü\n*"}
		_, lines := execOn(t, asUser, deploy.Command{Args: append([]string{"printf", "<%s>"}, odd...)}, at("two", "root"))
		if want := []string{`two stdout *>`, `two stdout <a b><'"\$(id)><><ü`}; !slices.Equal(lines, want) {
			t.Errorf("%q, want %q", lines, want)
		}
		ran, lines := execOn(t, asUser, deploy.Command{Args: []string{"sh", "-c", "cat; printf unended; seq 3 >&2; exit 3"}}, at("two", "root"))
		if want := []string{"two stderr 1", "two stderr 2", "two stderr 3", "two stdout unended"}; !slices.Equal(lines, want) {
			t.Errorf("%q, want %q", lines, want)
		}
		if r := ran["two"]; r.State != deploy.Failed || r.Code != 3 || r.Message != "exit status 3" {
			t.Errorf("%+v", r)
		}
	})
	t.Run("ends", func(t *testing.T) {
		command := deploy.Command{Timeout: 3 * time.Second, Args: []string{"sh", "-c", `case $(hostname) in
one) kill -9 $$ ;;
two) echo $$; exec sleep 600 ;;
cut) echo up; exec sleep 600 ;;
esac`}}
		var pid string
		command.OnLine = func(l deploy.Line) {
			switch l.Machine {
			case "two":
				pid = l.Text
			case "cut":
				if err := hosts[2].KillSSHD(); err != nil {
					t.Error(err)
				}
			}
		}
		ran, _ := execOn(t, asUser, command, at("one", "ann"), at("two", "root"), at("cut", "root"), at("off", "root"))
		for name, want := range map[string]struct {
			state deploy.State
			code  int
			text  string
		}{
			"one": {deploy.Failed, 137, "killed by SIGKILL"},
			"two": {deploy.Unknown, -1, "did not end within 3s"},
			"cut": {deploy.Unknown, -1, "whether the command ended is not known"},
			"off": {deploy.Failed, -1, "off"},
		} {
			if r := ran[name]; r.State != want.state || r.Code != want.code || !strings.Contains(r.Message, want.text) {
				t.Errorf("%s: %+v, want %+v", name, r, want)
			}
		}
		on(t, hosts[1], "sh", "-c", "kill "+pid+" 2>/dev/null || true")
	})
}

// A command that floods is passed on as it comes, and no more machines than
// wanted are at it.
func TestExecFlood(t *testing.T) {
	x, folder := newNix(t), t.TempDir()
	tops := flakeOf(t, x, map[string]system{"a": {version: "1"}, "b": {version: "1"}, "c": {version: "1"}})
	var machines []deploy.Machine
	for name, top := range tops {
		machines = append(machines, machine(name, flake.NixOS, "root:"+folder+"/"+name, top))
	}
	o := options(x, &recorder{})
	if code := newDeployer(t, o).Update(t.Context(), machines).ExitCode(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	var bytes int
	var most, now atomic.Int32
	o.OnEvent = func(e deploy.Event) {
		switch {
		case e.Phase == deploy.Exec && e.State == deploy.Started:
			most.Store(max(most.Load(), now.Add(1)))
		case e.Phase == deploy.End:
			now.Add(-1)
		}
	}
	// A line that has no end, longer than any buffer.
	flood := []string{"/run/current-system/bin/sh", "-c", "i=0; while [ $i -lt 3000 ]; do echo -n 0123456789012345678901234567890123456789012345678901234567890123; i=$((i+1)); done"}
	list := newDeployer(t, o).Exec(t.Context(), machines, deploy.Command{Args: flood, Timeout: time.Minute, Parallel: 1, OnLine: func(l deploy.Line) { bytes += len(l.Text) }})
	for _, r := range list {
		if r.State != deploy.Done || r.Code != 0 {
			t.Errorf("%+v", r)
		}
	}
	if want := 3 * 3000 * 64; bytes != want {
		t.Errorf("%d bytes arrived, want %d", bytes, want)
	}
	if most.Load() != 1 {
		t.Errorf("%d machines at once, want 1", most.Load())
	}
}

// Ctrl-C does not wait for the command, and says that it may go on.
func TestExecInterrupted(t *testing.T) {
	x, folder := newNix(t), t.TempDir()
	tops := flakeOf(t, x, map[string]system{"a": {version: "1"}})
	m := machine("a", flake.NixOS, "root:"+folder+"/a", tops["a"])
	o := options(x, &recorder{})
	wantState(t, newDeployer(t, o).Update(t.Context(), []deploy.Machine{m}), "a", deploy.Done)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	list := newDeployer(t, o).Exec(ctx, []deploy.Machine{m}, deploy.Command{
		Args: []string{"/run/current-system/bin/sh", "-c", "trap : TERM; echo up; while :; do sleep 1; done"}, Timeout: time.Minute,
		OnLine: func(deploy.Line) { cancel() },
	})
	if r := list[0]; r.State != deploy.Interrupted || !strings.Contains(r.Message, "may still run") {
		t.Errorf("%+v", r)
	}
	wait(t, func() bool { // it dies of what it was sent
		left, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil || len(left) == 0 {
			t.Fatalf("%d processes, %v", len(left), err)
		}
		return !slices.ContainsFunc(left, func(file string) bool {
			line, _ := os.ReadFile(file)
			return strings.Contains(string(line), folder) || strings.Contains(string(line), "trap : TERM; echo up")
		})
	})
}

// A command is not said to have run perhaps where its connection was lost before.
func TestExecNotRun(t *testing.T) {
	n := testhost.NewNetwork(t)
	h := testhost.Light(t, n, testhost.Options{Name: "one"})
	o := sshOptions(newNix(t), &recorder{}, n)
	dial := o.Dial
	o.Dial = func(ctx context.Context, machine string, host ssh.Target) (*ssh.Conn, error) {
		conn, err := dial(ctx, machine, host)
		if err == nil {
			must(t, h.KillSSHD())
			<-conn.Done()
		}
		return conn, err
	}
	ran, _ := execOn(t, o, deploy.Command{Args: []string{"touch", "/ran"}}, deploy.Machine{Name: "one", Class: flake.NixOS, Address: "ssh://one"})
	if r := ran["one"]; r.State != deploy.Failed || !strings.HasPrefix(r.Message, "it was not run: ") || hostFile(h, "/ran") {
		t.Errorf("%s: %s; it ran: %t", r.State, r.Message, hostFile(h, "/ran"))
	}
}
