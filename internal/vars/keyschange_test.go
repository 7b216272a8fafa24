package vars

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/secrets"
)

// guarded is a fleet of two machines with three secrets, one of them shared.
func guarded(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, map[string][]*genT{
		"web": {gen("a", `echo web > $out/f; echo public > $out/p`, "f", "p:public"), shared(gen("ca", `echo ca > $out/c`, "c"))},
		"db":  {gen("a", `echo db > $out/f`, "f"), shared(gen("ca", `echo ca > $out/c`, "c"))},
	})
	w.generate(Request{})
	w.git("add", "sops")
	w.git("commit", "--quiet", "--message=old")
	return w
}

var keysOptions = ChangeOptions{Now: time.Now}

// keyPair is a new key.
func keyPair(t *testing.T) (string, *secrets.Identities) {
	t.Helper()
	public, private, err := secrets.NewAgeKey()
	if err != nil {
		t.Fatal(err)
	}
	return public, identities(t, private)
}

// as runs with the keys of somebody else.
func (w *world) as(ids *secrets.Identities) *world {
	other := *w.fleet
	other.Identities = ids
	return &world{t: w.t, root: w.root, fleet: &other}
}

// readsAll opens every secret and machine key with the world's identities.
func (w *world) readsAll() bool {
	w.t.Helper()
	all, damaged, err := w.fleet.envelopes(w.t.Context())
	if err != nil || len(damaged) > 0 || len(all) != 5 {
		w.t.Fatalf("%d envelopes, damaged %v: %v", len(all), damaged, err)
	}
	opened := 0
	for _, e := range all {
		if _, err := secrets.Open(w.t.Context(), w.fleet.Layout, e.ref, w.fleet.Identities); err == nil {
			opened++
		} else if !noKeyAtHand(err) {
			w.t.Fatal(err)
		}
	}
	if opened != 0 && opened != len(all) {
		w.t.Fatalf("opens %d of %d", opened, len(all))
	}
	return opened > 0
}

func must(t *testing.T, report *KeysReport, err error) *KeysReport {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestAddKeyReadsEverything(t *testing.T) {
	w := guarded(t)
	public, ids := keyPair(t)
	before := w.snapshot()
	dry := keysOptions
	dry.DryRun = true
	planned, err := w.fleet.AddKey(t.Context(), "bob", public, dry)
	must(t, planned, err)
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("a dry run changed\n%s", diff)
	}
	commit := keysOptions
	commit.Commit = true
	report, err := w.fleet.AddKey(t.Context(), "bob", public, commit)
	must(t, report, err)
	if diff := cmp.Diff(planned, report); diff != "" {
		t.Errorf("planned and done differ\n%s", diff)
	}
	if !w.as(ids).readsAll() || !w.readsAll() {
		t.Error("somebody cannot read")
	}
	if len(report.Reencrypted) != 5 || len(report.Locked) != 0 || len(report.Paths) != 6 {
		t.Errorf("got %+v", report)
	}
	if got := w.git("log", "-1", "--format=%s") + w.git("status", "--porcelain"); got != "feat(vars): add administrator bob\n" {
		t.Errorf("git says %q", got)
	}
	// The policy agrees: generate has nothing to do.
	if p := w.plan(Request{}); !p.Empty() {
		t.Errorf("planned: %s", p)
	}
	again, err := w.fleet.AddKey(t.Context(), "bob", public, keysOptions)
	if must(t, again, err); len(again.Paths) != 0 {
		t.Errorf("again: %+v", again)
	}
	if _, err := w.fleet.AddKey(t.Context(), "eve", public, keysOptions); err == nil || !strings.Contains(err.Error(), "already the key of administrator bob") {
		t.Errorf("got %v", err)
	}
}

// Who cannot open the secrets can be announced, and is told what is left to do.
func TestAddKeyWithoutAccess(t *testing.T) {
	w := guarded(t)
	public, ids := keyPair(t)
	report, err := w.as(ids).fleet.AddKey(t.Context(), "bob", public, keysOptions)
	must(t, report, err)
	if len(report.Locked) != 5 || len(report.Reencrypted) != 0 || cmp.Diff(report.Paths, []string{"sops/users/bob/key.json"}) != "" {
		t.Errorf("got %+v", report)
	}
	report, err = w.fleet.AddKey(t.Context(), "bob", public, keysOptions)
	if must(t, report, err); len(report.Locked) != 0 || !w.as(ids).readsAll() {
		t.Errorf("got %+v", report)
	}
}

func TestRemoveKey(t *testing.T) {
	w := guarded(t)
	public, ids := keyPair(t)
	second, secondIDs := keyPair(t)
	for _, key := range []string{public, second} {
		report, err := w.fleet.AddKey(t.Context(), "bob", key, keysOptions)
		must(t, report, err)
	}
	if _, err := w.fleet.RemoveKey(t.Context(), "bob", "age1other", keysOptions); err == nil || !strings.Contains(err.Error(), "no key of administrator bob") {
		t.Errorf("got %v", err)
	}
	// One of two keys.
	report, err := w.fleet.RemoveKey(t.Context(), "bob", second, keysOptions)
	must(t, report, err)
	if w.as(secondIDs).readsAll() || !w.as(ids).readsAll() {
		t.Error("the wrong key was removed")
	}
	// All of them: nothing that was in a file before is in it now.
	before := w.snapshot()
	commit := keysOptions
	commit.Commit = true
	report, err = w.fleet.RemoveKey(t.Context(), "bob", "", commit)
	must(t, report, err)
	if w.as(ids).readsAll() || !w.readsAll() {
		t.Error("bob reads, or alice does not")
	}
	after := w.snapshot()
	for _, path := range report.Paths {
		_, old, _ := strings.Cut(before[path], `"data": "`)
		old, _, _ = strings.Cut(old, `"`)
		if old != "" && strings.Contains(after[path], old) {
			t.Errorf("%s has its old data key", path)
		}
	}
	if _, err := os.Stat(filepath.Join(w.root, "sops/users/bob")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("his folder: %v", err)
	}
	if got := w.git("log", "-1", "--format=%s"); got != "feat(vars): remove administrator bob\n" {
		t.Errorf("git says %q", got)
	}
	want := []Seen{
		{"the key of machine db", "fleet vars keys rotate db"},
		{"the key of machine web", "fleet vars keys rotate web"},
		{"shared/ca/c", "fleet vars generate --all --regenerate ca"},
		{"db/a/f", "fleet vars generate db --regenerate a"},
		{"web/a/f", "fleet vars generate web --regenerate a"},
	}
	if diff := cmp.Diff(want, report.Rotate); diff != "" {
		t.Error(diff)
	}
	if p := w.plan(Request{}); !p.Empty() {
		t.Errorf("planned: %s", p)
	}
}

// Nobody is locked out, and what cannot be done wholly is not begun.
func TestRemoveKeyRefuses(t *testing.T) {
	w := guarded(t)
	public, ids := keyPair(t)
	refused := func(who *world, user, want string) {
		t.Helper()
		before := w.snapshot()
		if _, err := who.fleet.RemoveKey(t.Context(), user, "", keysOptions); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if diff := cmp.Diff(before, w.snapshot()); diff != "" {
			t.Errorf("something changed\n%s", diff)
		}
	}
	refused(w, "alice", "alice is the last administrator")
	refused(w, "eve", "there is no administrator eve")
	report, err := w.fleet.AddKey(t.Context(), "bob", public, keysOptions)
	must(t, report, err)
	refused(w, "alice", "without this key of administrator alice you could read nothing any more")
	_, stranger := keyPair(t)
	refused(w.as(stranger), "bob", "nothing was changed, because 5 of the files")
	report, err = w.as(ids).fleet.RemoveKey(t.Context(), "alice", "", keysOptions)
	if must(t, report, err); w.readsAll() || !w.as(ids).readsAll() {
		t.Error("alice still reads")
	}
}

func TestRecoveryKey(t *testing.T) {
	w := guarded(t)
	var kept []byte
	report, err := w.fleet.NewRecoveryKey(t.Context(), func(public string, private []byte) error {
		kept = private
		return nil
	}, keysOptions)
	must(t, report, err)
	if !w.as(identities(t, kept)).readsAll() {
		t.Error("the recovery key does not read")
	}
	for path, data := range w.snapshot() {
		if strings.Contains(data, string(kept)) {
			t.Errorf("%s holds the private part", path)
		}
	}
	public, _ := keyPair(t)
	if _, err := w.fleet.AddRecoveryKey(t.Context(), public, keysOptions); err == nil || !strings.Contains(err.Error(), "there is a recovery key already") {
		t.Errorf("got %v", err)
	}
	report, err = w.fleet.RemoveRecoveryKey(t.Context(), keysOptions)
	if must(t, report, err); w.as(identities(t, kept)).readsAll() || !w.readsAll() || len(report.Rotate) != 5 {
		t.Errorf("got %+v", report)
	}
	// It could not be kept: it is not used.
	before := w.snapshot()
	full := errors.New("no space left on device")
	if _, err := w.fleet.NewRecoveryKey(t.Context(), func(string, []byte) error { return full }, keysOptions); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("something changed\n%s", diff)
	}
}

func TestRotateMachineKey(t *testing.T) {
	w := guarded(t)
	private, err := secrets.MachinePrivateKey(t.Context(), w.fleet.Layout, "web", w.fleet.Identities)
	if err != nil {
		t.Fatal(err)
	}
	opens := func(ids *secrets.Identities) (names []string) {
		all, _, err := w.fleet.envelopes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if _, err := secrets.Open(t.Context(), w.fleet.Layout, e.ref, ids); err == nil {
				names = append(names, e.String())
			}
		}
		return names
	}
	old := identities(t, private)
	reads := []string{"shared/ca/c", "web/a/f"}
	if diff := cmp.Diff(reads, opens(old)); diff != "" {
		t.Fatal(diff)
	}
	report, err := w.fleet.RotateMachineKey(t.Context(), "web", keysOptions)
	must(t, report, err)
	now, err := secrets.MachinePrivateKey(t.Context(), w.fleet.Layout, "web", w.fleet.Identities)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(reads, opens(identities(t, now))); diff != "" {
		t.Error(diff)
	}
	if left := opens(old); len(left) > 0 {
		t.Errorf("the old key opens %v", left)
	}
	if diff := cmp.Diff(reads, report.Reencrypted); diff != "" || len(report.Paths) != 4 {
		t.Errorf("got %+v", report)
	}
	if got := w.get("web", "a/f"); got != "web\n" || !w.readsAll() {
		t.Errorf("got %q", got)
	}
	if p := w.plan(Request{}); !p.Empty() {
		t.Errorf("planned: %s", p)
	}

	if _, err := w.fleet.RotateMachineKey(t.Context(), "mail", keysOptions); !errors.Is(err, secrets.ErrNoMachineKey) {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(filepath.Join(w.root, "sops/keys/db")); err != nil {
		t.Fatal(err)
	}
	if _, err := w.fleet.RotateMachineKey(t.Context(), "db", keysOptions); err == nil || !strings.Contains(err.Error(), "brought its key itself") {
		t.Errorf("got %v", err)
	}
}

func TestListKeys(t *testing.T) {
	w := guarded(t)
	bob, _ := keyPair(t)
	w.admin("bob", bob)
	w.write("sops/machines/db/secrets/a/f", "plain")
	list, err := w.fleet.ListKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	type row struct {
		Kind                 HolderKind
		Name                 string
		Own                  bool
		Secrets, MachineKeys int
	}
	var got []row
	for _, key := range list.Keys {
		got = append(got, row{key.Kind, key.Name, key.Own, key.Secrets, key.MachineKeys})
	}
	want := []row{{HolderUser, "alice", true, 2, 2}, {HolderUser, "bob", false, 0, 0}, {HolderMachine, "db", false, 1, 0}, {HolderMachine, "web", false, 2, 0}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if list.Secrets != 2 || list.MachineKeys != 2 || len(list.Damaged) != 1 || !strings.Contains(list.Damaged[0], "sops/machines/db/secrets/a/f: not a sops file") {
		t.Errorf("got %+v", list)
	}
	// A machine that is no longer there goes on reading: nobody knows it.
	if err := os.Remove(filepath.Join(w.root, "sops/machines/web/key.json")); err != nil {
		t.Fatal(err)
	}
	list, err = w.fleet.ListKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if last := list.Keys[len(list.Keys)-1]; last.Kind != HolderUnknown || last.Secrets != 2 {
		t.Errorf("got %+v", last)
	}
}
