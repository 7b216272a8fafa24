package vars

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/crs58/fleet/internal/flake"
	"github.com/crs58/fleet/internal/secrets"
)

// runCrashVar makes this test binary run [changing] in a repository and be killed
// before a step.
const runCrashVar = "FLEET_VARS_TEST_CRASH_RUN" // STEP:LAYOUT:ROOT, with the key in ROOT.key

// The fleet whose run is killed: what was there before, and what the run does to
// it. Something of everything happens: a machine and an administrator are new, a
// key is made anew, values move both ways and one is published, a file is added
// beside one that stays, one that is outdated is accepted.
func beforeChange() map[string][]*genT {
	hex := func(name string, files ...string) *genT {
		return builtIn(name, "token", `{"bytes":8,"encoding":"hex"}`, files...)
	}
	return map[string][]*genT{
		"web": {
			builtIn("ssh", "ssh-key", `{}`, "id_ed25519", "id_ed25519.pub:public"),
			builtIn("wg", "wireguard", `{}`, "privatekey"),
			hex("own", "token"), shared(hex("shared", "token")), hex("open", "token"), hex("old", "token"),
		},
		"db": {shared(hex("shared", "token"))},
	}
}

func afterChange() map[string][]*genT {
	all := beforeChange()
	for machine, generators := range all {
		for _, g := range generators {
			switch g.Name {
			case "own", "shared":
				g.Share = !g.Share
			case "open":
				g.Files["token"].Secret = false
			case "old":
				g.ValidationHash = "new"
			case "wg":
				g.Files["publickey"] = &flake.File{Name: "publickey"}
			}
		}
		all[machine] = generators
	}
	all["mail"] = []*genT{builtIn("age", "age-key", `{}`, "key.txt", "key.pub:public")}
	return all
}

var changing = Request{Regenerate: []string{"ssh"}, Publish: []string{"open"}, Keep: []string{"old"}}

// changedFleet opens the fleet after the change of its definitions.
func changedFleet(layout, root string) (*Fleet, error) {
	private, err := os.ReadFile(root + ".key")
	if err != nil {
		return nil, err
	}
	ids, err := secrets.ParseIdentities("test", private)
	if err != nil {
		return nil, err
	}
	f := &Fleet{Root: root, Identities: ids, Machines: details(afterChange()), Env: os.Environ(), Inventory: &flake.Inventory{Machines: map[string]flake.Machine{}}}
	for machine := range f.Machines {
		f.Inventory.Machines[machine] = flake.Machine{Name: machine}
	}
	if layout == "clan" {
		f.Layout, err = secrets.OpenClan(root, secrets.ClanOptions{Own: ids.Recipients()})
	} else {
		f.Layout, err = secrets.OpenNative(root)
	}
	return f, err
}

// runAndCrash is the process that is killed; it prints the steps that it comes to.
func runAndCrash(number int, layout, root string) {
	f, err := changedFleet(layout, root)
	if err != nil {
		panic(err)
	}
	p, err := f.Plan(noTestContext, changing)
	if err != nil {
		panic(err)
	}
	count := 0
	_, err = f.Run(noTestContext, p, RunOptions{Now: time.Now, step: func(step string) error {
		if count++; count == number {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		fmt.Println(step)
		return nil
	}})
	if err != nil {
		panic(err)
	}
}

// crashRun runs the change in a copy of a repository, and gives the steps before
// the one that it was killed at.
func crashRun(t *testing.T, number int, layout, base string) (w *world, steps []string, killed bool) {
	t.Helper()
	w = &world{t: t, root: filepath.Join(t.TempDir(), "repo")}
	for _, name := range []string{"", ".key"} {
		if out, err := exec.Command("cp", "-a", base+name, w.root+name).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d:%s:%s", runCrashVar, number, layout, w.root))
	out, err := cmd.Output()
	var exit *exec.ExitError
	if killed = errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL; err != nil && !killed {
		t.Fatalf("%v\n%s", err, exit.Stderr)
	}
	if steps = strings.Split(strings.TrimSpace(string(out)), "\n"); steps[0] == "" {
		steps = nil
	}
	if w.fleet, err = changedFleet(layout, w.root); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.fleet.Layout.Close() })
	return w, steps, killed
}

// Killed at whatever kind of step, a run that does something of everything leaves
// exactly the old or exactly the new fleet.
func TestCrashOfAWholeRun(t *testing.T) {
	layouts(t, func(t *testing.T, w *world) {
		layout := "native"
		if _, ok := w.fleet.Layout.(*secrets.Clan); ok {
			layout = "clan"
		}
		w.set(beforeChange())
		w.generate(Request{})
		bob, _, err := secrets.NewAgeKey()
		if err != nil {
			t.Fatal(err)
		}
		w.admin("bob", bob)
		if err := os.WriteFile(w.root+".key", w.private, 0o600); err != nil {
			t.Fatal(err)
		}
		w.git("add", "--all")
		w.git("commit", "--quiet", "--message=old")
		old := w.snapshot()
		kept := map[string]string{}
		for name, at := range map[string]string{"own/token": "web", "shared/token": "db", "open/token": "web", "old/token": "web", "wg/privatekey": "web"} {
			kept[name] = w.get(at, name)
		}
		wasSSH := w.get("web", "ssh/id_ed25519.pub")

		done, steps, killed := crashRun(t, -1, layout, w.root)
		if killed {
			t.Fatal("killed at no step")
		}
		want := slices.Sorted(maps.Keys(done.snapshot()))

		// The first and the last step of each kind, and all that remove something.
		removes := func(step string) bool {
			_, path, _ := strings.Cut(step, " ")
			return !slices.Contains(want, path)
		}
		first, last := map[string]int{}, map[string]int{}
		numbers := map[int]bool{}
		for i, step := range steps {
			kind, _, _ := strings.Cut(step, " ")
			if first[kind] == 0 {
				first[kind] = i + 1
			}
			last[kind] = i + 1
			if kind == "switch" && removes(step) {
				numbers[i+1] = true
			}
		}
		for kind := range first {
			numbers[first[kind]], numbers[last[kind]] = true, true
		}
		for _, number := range slices.Sorted(maps.Keys(numbers)) {
			w, before, killed := crashRun(t, number, layout, w.root)
			at := steps[number-1]
			if !killed || len(before) != number-1 {
				t.Fatalf("it was to be killed at %q and was not", at)
			}
			if _, err := w.fleet.Recover(t.Context(), Limits{}); err != nil {
				t.Fatalf("killed at %q: %v", at, err)
			}
			if status := w.git("status", "--porcelain", "--untracked-files=all"); strings.Contains(status, "??") {
				t.Errorf("killed at %q: git does not know\n%s", at, status)
			}
			now := w.snapshot()
			if number <= last["journal"] {
				if diff := cmp.Diff(old, now); diff != "" {
					t.Errorf("killed at %q (-old +now):\n%s", at, diff)
				}
				continue
			}
			if diff := cmp.Diff(want, slices.Sorted(maps.Keys(now))); diff != "" {
				t.Errorf("killed at %q, files (-new +now):\n%s", at, diff)
			}
			w.changed(at, kept, wasSSH)
		}
	})
}

// changed checks that the change is complete.
func (w *world) changed(at string, kept map[string]string, wasSSH string) {
	w.t.Helper()
	for name, value := range kept {
		if got := w.get("web", name); got != value {
			w.t.Errorf("killed at %q: %s is %q, want %q", at, name, got, value)
		}
	}
	key, err := ssh.ParsePrivateKey([]byte(w.get("web", "ssh/id_ed25519")))
	if err != nil {
		w.t.Fatal(err)
	}
	if public := string(ssh.MarshalAuthorizedKey(key.PublicKey())); w.get("web", "ssh/id_ed25519.pub") != public || public == wasSSH {
		w.t.Errorf("killed at %q: the key is not a new pair", at)
	}
	if p := w.plan(Request{}); !p.Empty() {
		w.t.Errorf("killed at %q: something is left to do:\n%s", at, p)
	}
	w.sound()
}
