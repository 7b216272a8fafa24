package vars

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/secrets"
)

// ageWorld is that of [clanWorld] in clan's store age; names is what its flake
// says about who reads what.
func ageWorld(t *testing.T) (w *world, names *secrets.AgeOptions) {
	t.Helper()
	names = &secrets.AgeOptions{Recipients: map[string][]string{}, Sharing: map[string][]string{"ca": {"web", "db"}}, Whole: true}
	w = newWorldIn(t, map[string][]*genT{
		"web": {
			gen("a", `echo web > $out/f; echo public > $out/p; echo mine > $out/l`, "f", "p:public", "l:local"),
			shared(gen("ca", `echo ca > $out/c; echo k > $out/k`, "c", "k:local")), valid(gen("v", `echo v > $out/f`, "f"), "abc"),
		},
		"db": {gen("a", `echo db > $out/f`, "f"), shared(gen("ca", `echo ca > $out/c; echo k > $out/k`, "c", "k:local"))},
	}, func(dir, public string) (secrets.Layout, error) {
		names.Recipients["web"], names.Recipients["db"] = []string{public}, []string{public}
		return secrets.OpenAge(dir, *names)
	})
	w.generate(Request{})
	w.git("add", "secrets", "vars")
	w.git("commit", "--quiet", "--message=old")
	return w, names
}

// dirty are the files that are not as they were committed.
func (w *world) dirty() []string {
	w.t.Helper()
	changed := []string{}
	for line := range strings.Lines(w.git("status", "--porcelain", "--untracked-files=all")) {
		changed = append(changed, strings.TrimSpace(line[3:]))
	}
	return changed
}

func TestAgeGenerate(t *testing.T) {
	w, _ := ageWorld(t)
	w.sound()
	if p := w.plan(Request{}); !p.Empty() || len(p.Notes) > 0 {
		t.Errorf("planned: %s", p)
	}
	files := []string{}
	for name := range w.snapshot() {
		files = append(files, name)
	}
	slices.Sort(files)
	if diff := cmp.Diff([]string{
		"secrets/age-keys/machines/db/key.age",
		"secrets/age-keys/machines/db/key.age.recipients",
		"secrets/age-keys/machines/db/pub",
		"secrets/age-keys/machines/web/key.age",
		"secrets/age-keys/machines/web/key.age.recipients",
		"secrets/age-keys/machines/web/pub",
		"secrets/clan-vars/per-machine/db/a/f/f.age",
		"secrets/clan-vars/per-machine/web/a/f/f.age",
		"secrets/clan-vars/per-machine/web/a/l/l.age",
		"secrets/clan-vars/per-machine/web/a/l/l.age.recipients",
		"secrets/clan-vars/per-machine/web/v/f/f.age",
		"secrets/clan-vars/shared/ca/c/c.age",
		"secrets/clan-vars/shared/ca/c/c.age.recipients",
		"secrets/clan-vars/shared/ca/k/k.age",
		"secrets/clan-vars/shared/ca/k/k.age.recipients",
		"vars/per-machine/web/a/p/value",
		"vars/per-machine/web/v/.validation-hash",
	}, files); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]string{"a/f": "web\n", "a/p": "public\n", "a/l": "mine\n", "ca/c": "ca\n", "ca/k": "k\n"} {
		if got := w.get("web", name); got != want {
			t.Errorf("web/%s is %q", name, got)
		}
	}
	_, stranger := keyPair(t)
	for _, name := range []string{"a/f", "a/l", "ca/c", "ca/k"} {
		if _, err := w.as(stranger).fleet.Get(t.Context(), "web", name); !noKeyAtHand(err) {
			t.Errorf("a stranger reads %s: %v", name, err)
		}
	}
}

// Making one generator anew changes its files and nothing else.
func TestAgeRegenerate(t *testing.T) {
	w, _ := ageWorld(t)
	w.generate(Request{Regenerate: []string{"a"}, Generators: []string{"a"}})
	if diff := cmp.Diff([]string{
		"secrets/clan-vars/per-machine/db/a/f/f.age",
		"secrets/clan-vars/per-machine/web/a/f/f.age",
		"secrets/clan-vars/per-machine/web/a/l/l.age",
	}, w.dirty()); diff != "" {
		t.Error(diff)
	}
	w.sound()
}

// Whom the flake names from now on, generate lets in; whom it does not name any
// more, fix takes out.
func TestAgeRecipients(t *testing.T) {
	w, names := ageWorld(t)
	alice := names.Recipients["web"][0]
	public, ids := keyPair(t)
	bob := w.as(ids)
	bob.opts = w.opts
	reads := func(name string) bool {
		_, err := bob.fleet.Get(t.Context(), "web", name)
		if err != nil && !noKeyAtHand(err) {
			t.Fatal(err)
		}
		return err == nil
	}
	names.Recipients["web"] = []string{alice, public}
	findings, err := w.fleet.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range findings {
		found = append(found, f.String())
	}
	if text := strings.Join(found, "\n"); len(findings) != 3 || !strings.Contains(text, "its private key cannot be read by administrator "+public) ||
		!strings.Contains(text, "web/a/l: it cannot be read by administrator") || !strings.Contains(text, "shared/ca/k: it cannot be read by") {
		t.Errorf("found:\n%s", text)
	}
	w.generate(Request{})
	if diff := cmp.Diff([]string{
		"secrets/age-keys/machines/web/key.age",
		"secrets/age-keys/machines/web/key.age.recipients",
		"secrets/clan-vars/per-machine/web/a/l/l.age",
		"secrets/clan-vars/per-machine/web/a/l/l.age.recipients",
		"secrets/clan-vars/shared/ca/k/k.age",
		"secrets/clan-vars/shared/ca/k/k.age.recipients",
	}, w.dirty()); diff != "" {
		t.Error(diff)
	}
	if !reads("a/f") || !reads("a/l") || !reads("ca/c") || !reads("ca/k") {
		t.Error("bob does not read it")
	}
	if _, err := bob.fleet.Get(t.Context(), "db", "a/f"); !noKeyAtHand(err) {
		t.Errorf("bob reads what is of db alone: %v", err)
	}
	w.sound()

	names.Recipients["web"] = []string{alice}
	fixed, err := w.fleet.Fix(t.Context(), FixOptions{Now: time.Now, Whole: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(fixed.Mended) != 3 || len(fixed.Rotate) != 3 || fixed.Rotate[0].KnownBy[0] != "the unknown key "+public {
		t.Errorf("mended %v, to rotate %v", fixed.Mended, fixed.Rotate)
	}
	if reads("a/f") || reads("a/l") || reads("ca/c") || reads("ca/k") {
		t.Error("bob still reads it")
	}
	w.sound()
}

// A flake that names nobody for a machine stops that machine alone.
func TestAgeNobody(t *testing.T) {
	w, names := ageWorld(t)
	names.Recipients["mail"] = nil
	machines := map[string][]*genT{"mail": {gen("m", `echo m > $out/f`, "f:local")}, "new": {gen("n", `echo n > $out/f`, "f")}}
	names.Recipients["new"] = names.Recipients["web"]
	w.set(machines)
	report, err := w.run(Request{})
	if err == nil || !strings.Contains(err.Error(), "names nobody for machine mail") || strings.Contains(err.Error(), "generator new/") {
		t.Errorf("got %v", err)
	}
	if report == nil || len(report.Generated) != 1 || report.Generated[0].Machine != "new" {
		t.Errorf("generated: %+v", report)
	}
	names.Recipients["web"], names.Recipients["db"], names.Recipients["new"] = nil, nil, nil
	if _, err := w.fleet.Fix(t.Context(), FixOptions{Now: time.Now}); !errors.Is(err, secrets.ErrNoAdmin) {
		t.Errorf("fixed with nobody: %v", err)
	}
}

// The old drifts of a store: notes that are lost, left or untrue.
func TestAgeFix(t *testing.T) {
	w, _ := ageWorld(t)
	remove := func(name string) {
		t.Helper()
		if err := os.Remove(filepath.Join(w.root, name)); err != nil {
			t.Fatal(err)
		}
	}
	public, _ := keyPair(t)
	remove("secrets/clan-vars/shared/ca/c/c.age.recipients")
	remove("secrets/age-keys/machines/db/key.age.recipients")
	w.write("secrets/clan-vars/per-machine/web/v/f/f.age.recipients", public+"\n")
	w.write("secrets/clan-vars/shared/ca/k/k.age.recipients", public+"\n"+public+"\n")
	a, err := w.fleet.Audit(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, f := range a.Findings {
		found = append(found, f.Value+strings.Join(f.Machines, "+"))
	}
	if diff := cmp.Diff([]string{"db", "shared/ca/cdb+web", "shared/ca/kdb+web", "web/v/fweb", "web/v/fweb"}, found); diff != "" {
		t.Errorf("%s\n%v", diff, a.Findings)
	}
	remove("secrets/clan-vars/shared/ca/k/k.age.recipients") // as the finding says
	fixed, err := w.fleet.Fix(t.Context(), FixOptions{Now: time.Now, Whole: true})
	if err != nil {
		t.Fatal(err)
	}
	if len(fixed.Mended) != 4 {
		t.Errorf("mended: %v", fixed.Mended)
	}
	if _, err := os.Stat(filepath.Join(w.root, "secrets/clan-vars/per-machine/web/v/f/f.age.recipients")); err == nil {
		t.Error("the note of a secret that is its machine's alone is left")
	}
	w.sound()
}

func TestAgeRotate(t *testing.T) {
	w, _ := ageWorld(t)
	before, err := w.fleet.Layout.Machine("web")
	if err != nil {
		t.Fatal(err)
	}
	// Keys are changed without asking the flake.
	layout, err := secrets.OpenAge(w.root, secrets.AgeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { layout.Close() })
	keys := *w.fleet
	keys.Layout = layout
	report, err := keys.RotateMachineKey(t.Context(), "web", keysOptions)
	must(t, report, err)
	if diff := cmp.Diff([]string{
		"secrets/age-keys/machines/web/key.age",
		"secrets/age-keys/machines/web/pub",
		"secrets/clan-vars/per-machine/web/a/f/f.age",
		"secrets/clan-vars/per-machine/web/v/f/f.age",
		"secrets/clan-vars/shared/ca/c/c.age",
		"secrets/clan-vars/shared/ca/c/c.age.recipients",
	}, w.dirty()); diff != "" {
		t.Error(diff)
	}
	if got := w.get("web", "a/f"); got != "web\n" {
		t.Errorf("got %q", got)
	}
	w.sound()
	after, err := w.fleet.Layout.Machine("web")
	if err != nil || slices.Equal(before.Recipients(), after.Recipients()) {
		t.Errorf("the key is the same (%v)", err)
	}
}

// Who the administrators are the flake says: the commands for people refuse, and
// say what to do instead.
func TestAgePeople(t *testing.T) {
	w, names := ageWorld(t)
	public, ids := keyPair(t)
	for name, change := range map[string]func() (*KeysReport, error){
		"add":      func() (*KeysReport, error) { return w.fleet.AddKey(t.Context(), "bob", public, keysOptions) },
		"remove":   func() (*KeysReport, error) { return w.fleet.RemoveKey(t.Context(), "bob", "", keysOptions) },
		"recovery": func() (*KeysReport, error) { return w.fleet.AddRecoveryKey(t.Context(), public, keysOptions) },
		"join": func() (*KeysReport, error) {
			return w.fleet.JoinGroup(t.Context(), "ops", secrets.Member{Name: "bob"}, public, keysOptions)
		},
	} {
		if _, err := change(); !errors.Is(err, secrets.ErrInFlake) || !strings.Contains(err.Error(), "vars.settings.recipients") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if changed := w.dirty(); len(changed) > 0 {
		t.Errorf("changed: %v", changed)
	}
	list, err := w.fleet.ListKeys(t.Context())
	if err != nil || len(list.Keys) != 3 || list.Keys[0].Kind != HolderUser || !list.Keys[0].Own || list.Keys[0].PublicKey != names.Recipients["web"][0] {
		t.Errorf("%+v (%v)", list, err)
	}
	if got := list.Keys[0]; got.Secrets != 6 || got.MachineKeys != 2 {
		t.Errorf("the administrator reads %d secrets and %d keys", got.Secrets, got.MachineKeys)
	}
	report, err := w.as(ids).fleet.KeysInit(t.Context(), KeysInitOptions{User: "bob"})
	if err != nil || report.PublicKey != public || !strings.Contains(report.Next, "vars.settings.recipients") {
		t.Errorf("%+v (%v)", report, err)
	}
	report, err = w.fleet.KeysInit(t.Context(), KeysInitOptions{User: "alice"})
	if err != nil || report.Next != "" {
		t.Errorf("%+v (%v)", report, err)
	}
}

// Without asking the flake everything that is there can be read and checked.
func TestAgeOffline(t *testing.T) {
	w, _ := ageWorld(t)
	layout, err := secrets.OpenAge(w.root, secrets.AgeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { layout.Close() })
	f := *w.fleet
	f.Layout, f.Machines = layout, nil
	findings, err := f.CheckFiles(t.Context(), []string{"db", "web"}, true)
	if err != nil || len(findings) > 0 {
		t.Errorf("%v (%v)", findings, err)
	}
	ref, found, err := f.Lookup("web", "a/f")
	if err != nil || !found {
		t.Fatal(err)
	}
	if value, err := f.Open(t.Context(), ref); err != nil || string(value.Data) != "web\n" {
		t.Errorf("%v (%v)", value, err)
	}
	rows, err := f.ListFiles(t.Context(), []string{"web"})
	if err != nil || len(rows) != 6 {
		t.Errorf("%v (%v)", rows, err)
	}
	for _, row := range rows {
		if row.Secret && (row.Readers() != "right" || row.Deploy != (row.File != "l" && row.File != "k")) {
			t.Errorf("%+v", row)
		}
	}
	w.write("secrets/clan-vars/per-machine/web/a/f/f.age", "hunter2\n")
	if findings, err = f.CheckFiles(t.Context(), []string{"db", "web"}, true); err != nil || len(findings) != 1 || findings[0].Problem != "not an age file, so it may lie there in plain" {
		t.Errorf("%v (%v)", findings, err)
	}
}

// A value is given and moves from one machine to all that share it, and back.
func TestAgeGiveAndShare(t *testing.T) {
	w, names := ageWorld(t)
	given := Given{{Machine: "web", Name: "a"}: {"f": []byte("given")}}
	p, err := w.fleet.PlanGive(t.Context(), given)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.fleet.Give(t.Context(), p, GiveOptions{Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"secrets/clan-vars/per-machine/web/a/f/f.age"}, w.dirty()); diff != "" || w.get("web", "a/f") != "given" {
		t.Error(diff)
	}
	w.sound()

	w.fleet.Machines["web"].Generators["v"].Share = true
	names.Sharing["v"] = []string{"web"}
	w.generate(Request{})
	if got := w.get("web", "v/f"); got != "v\n" {
		t.Errorf("moved: %q", got)
	}
	for name, data := range w.snapshot() {
		if strings.Contains(name, "per-machine/web/v/") {
			t.Errorf("%s is left: %q", name, data)
		}
	}
	w.sound()
	w.fleet.Machines["web"].Generators["v"].Share = false
	w.generate(Request{})
	for name := range w.snapshot() {
		if strings.Contains(name, "shared/v/") {
			t.Errorf("%s is left", name)
		}
	}
	w.sound()
}

// One that shares a secret brings in its readers; those of machines that were not
// looked at stay.
func TestAgeShareGrows(t *testing.T) {
	w, names := ageWorld(t)
	public, _ := keyPair(t)
	names.Recipients["mail"] = []string{names.Recipients["web"][0], public}
	names.Sharing["ca"] = []string{"mail"}
	layout, err := secrets.OpenAge(w.root, secrets.AgeOptions{Recipients: map[string][]string{"mail": names.Recipients["mail"]}, Sharing: names.Sharing})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { layout.Close() })
	w.fleet.Layout = layout
	w.set(map[string][]*genT{"mail": {shared(gen("ca", `echo ca > $out/c; echo k > $out/k`, "c", "k:local"))}})
	w.generate(Request{})
	if got := w.get("mail", "ca/c"); got != "ca\n" {
		t.Errorf("got %q", got)
	}
	note, err := os.ReadFile(filepath.Join(w.root, "secrets/clan-vars/shared/ca/c/c.age.recipients"))
	if err != nil || bytes.Count(note, []byte("\n")) != 3 {
		t.Errorf("noted: %s (%v)", note, err)
	}
	for _, file := range []string{"c", "k"} {
		recipients, err := secrets.Readers(layout, secrets.Ref{Generator: "ca", File: file, Secret: true})
		if want := map[string]int{"c": 3, "k": 2}[file]; err != nil || len(recipients) != want {
			t.Errorf("%s is read by %v (%v)", file, recipients, err)
		}
	}
}

// When the flake changes the store, secrets are not silently made anew.
func TestAgeFromSops(t *testing.T) {
	w := clanWorld(t)
	public := w.fleet.Identities.Recipients()
	layout, err := secrets.OpenAge(w.root, secrets.AgeOptions{
		Recipients: map[string][]string{"web": public, "db": public}, Sharing: map[string][]string{"ca": {"web", "db"}}, Whole: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { layout.Close() })
	sops := *w.fleet
	w.fleet.Layout = layout
	if _, err := w.fleet.Plan(t.Context(), Request{}); err == nil || !strings.Contains(err.Error(), "3 of the secrets that are missing lie in clan's other store (vars/shared/ca/c/secret, ") {
		t.Errorf("got %v", err)
	}
	w.generate(Request{Regenerate: []string{"v"}, Generators: []string{"v"}})

	export, err := sops.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, err := w.fleet.PlanGive(t.Context(), export.data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.fleet.Give(t.Context(), p, GiveOptions{Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	w.sound()
	if got := w.get("db", "ca/c"); got != "ca\n" {
		t.Errorf("got %q", got)
	}
}
