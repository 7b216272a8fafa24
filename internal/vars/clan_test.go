package vars

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/secrets"
)

// clanWorld is guarded in the layout of clan.
func clanWorld(t *testing.T) *world {
	t.Helper()
	w := newWorldIn(t, map[string][]*genT{
		"web": {
			gen("a", `echo web > $out/f; echo public > $out/p; echo mine > $out/l`, "f", "p:public", "l:local"),
			shared(gen("ca", `echo ca > $out/c`, "c")), valid(gen("v", `echo v > $out/f`, "f"), "abc"),
		},
		"db": {gen("a", `echo db > $out/f`, "f"), shared(gen("ca", `echo ca > $out/c`, "c"))},
	}, func(dir, public string) (secrets.Layout, error) {
		return secrets.OpenClan(dir, secrets.ClanOptions{Own: []string{public}})
	})
	w.generate(Request{})
	w.git("add", "sops", "vars")
	w.git("commit", "--quiet", "--message=old")
	return w
}

// links lists every symbolic link of the work tree with where it leads; one that
// leads nowhere is an error.
func (w *world) links() []string {
	w.t.Helper()
	links := []string{}
	err := filepath.WalkDir(w.root, func(file string, d os.DirEntry, err error) error {
		if err != nil || d.Type()&os.ModeSymlink == 0 {
			return err
		}
		if _, err := os.Stat(file); err != nil {
			w.t.Error(err)
		}
		rel, _ := filepath.Rel(w.root, file)
		links = append(links, rel)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return links
}

// sound fails where check finds anything.
func (w *world) sound() {
	w.t.Helper()
	a, err := w.fleet.Audit(w.t.Context(), true)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, finding := range a.Findings {
		w.t.Error(finding)
	}
}

func TestClanGenerate(t *testing.T) {
	w := clanWorld(t)
	w.sound()
	if p := w.plan(Request{}); !p.Empty() {
		t.Errorf("planned: %s", p)
	}
	want := []string{
		"sops/secrets/db-age.key/users/alice", "sops/secrets/web-age.key/users/alice",
		"vars/per-machine/db/a/f/machines/db", "vars/per-machine/db/a/f/users/alice",
		"vars/per-machine/web/a/f/machines/web", "vars/per-machine/web/a/f/users/alice",
		"vars/per-machine/web/a/l/users/alice",
		"vars/per-machine/web/v/f/machines/web", "vars/per-machine/web/v/f/users/alice",
		"vars/shared/ca/c/machines/db", "vars/shared/ca/c/machines/web", "vars/shared/ca/c/users/alice",
	}
	if diff := cmp.Diff(want, w.links()); diff != "" {
		t.Error(diff)
	}
	if got := w.get("web", "a/p"); got != "public\n" {
		t.Errorf("web/a/p is %q", got)
	}
	hash, err := os.ReadFile(filepath.Join(w.root, "vars/per-machine/web/v/.validation-hash"))
	if string(hash) != "abc" {
		t.Errorf("hash %q (%v)", hash, err)
	}
}

// A generator whose validation is gone keeps no hash: clan would take it for
// outdated for ever.
func TestClanHashGoes(t *testing.T) {
	w := clanWorld(t)
	w.fleet.Machines["web"].Generators["v"].ValidationHash = ""
	w.generate(Request{Regenerate: []string{"v"}})
	if hash, err := w.fleet.Layout.Hash("web", "v"); hash != "" || err != nil {
		t.Errorf("hash %q (%v)", hash, err)
	}
	w.sound()
}

// Regenerating changes the value and nothing else.
func TestClanRegenerate(t *testing.T) {
	w := clanWorld(t)
	before, links := w.snapshot(), w.links()
	w.generate(Request{Regenerate: []string{"a"}, Generators: []string{"a"}})
	if diff := cmp.Diff(links, w.links()); diff != "" {
		t.Error(diff)
	}
	for name, data := range w.snapshot() {
		if before[name] != data && !strings.Contains(name, "/a/") {
			t.Errorf("%s changed", name)
		}
	}
	w.sound()
}

func TestClanAdministrators(t *testing.T) {
	w := clanWorld(t)
	public, ids := keyPair(t)
	report, err := w.fleet.AddKey(t.Context(), "bob", public, keysOptions)
	must(t, report, err)
	w.sound()
	if !slices.Contains(w.links(), "vars/per-machine/web/a/l/users/bob") || !slices.Contains(w.links(), "sops/secrets/db-age.key/users/bob") {
		t.Error("bob is not linked")
	}
	other := w.as(ids)
	if v, err := other.fleet.Get(t.Context(), "web", "a/f"); err != nil || string(v.Data) != "web\n" {
		t.Errorf("bob reads %v (%v)", v, err)
	}
	recovery, recoveryIDs := keyPair(t)
	report, err = w.fleet.AddRecoveryKey(t.Context(), recovery, keysOptions)
	must(t, report, err)
	w.sound()
	w.generate(Request{Regenerate: []string{"v"}, Generators: []string{"v"}})
	if _, err := w.as(recoveryIDs).fleet.Get(t.Context(), "web", "v/f"); err != nil {
		t.Error(err)
	}
	w.git("add", "sops", "vars")
	w.git("commit", "--quiet", "--message=more")

	commit := keysOptions
	commit.Commit = true
	report, err = w.fleet.RemoveKey(t.Context(), "bob", "", commit)
	must(t, report, err)
	w.sound()
	if links := strings.Join(w.links(), "\n"); strings.Contains(links, "bob") {
		t.Errorf("links are left:\n%s", links)
	}
	if got := w.git("status", "--porcelain"); got != "" {
		t.Errorf("git says %q", got)
	}
	if _, err := other.fleet.Get(t.Context(), "web", "a/f"); !noKeyAtHand(err) {
		t.Errorf("bob still reads: %v", err)
	}
	if len(report.Rotate) != 7 {
		t.Errorf("rotate: %v", report.Rotate)
	}
}

// Who is in a group reads what the group reads, and nothing else.
func TestClanGroups(t *testing.T) {
	w := clanWorld(t)
	w.fleet.Machines["web"].Store.Groups = []string{"ops"}
	layout, err := secrets.OpenClan(w.root, secrets.ClanOptions{
		Own: w.fleet.Identities.Recipients(), Groups: map[string][]string{"web": {"ops"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { layout.Close() })
	w.fleet.Layout = layout
	public, ids := keyPair(t)
	other := w.as(ids)
	reads := func(machine, name string) bool {
		_, err := other.fleet.Get(t.Context(), machine, name)
		if err != nil && !noKeyAtHand(err) {
			t.Fatal(err)
		}
		return err == nil
	}
	bob := secrets.Member{Name: "bob"}
	report, err := w.fleet.JoinGroup(t.Context(), "ops", bob, public, keysOptions)
	must(t, report, err)
	if !reads("web", "a/f") || reads("db", "a/f") {
		t.Error("bob reads something else than what the group reads")
	}
	if links := w.links(); !slices.Contains(links, "sops/groups/ops/users/bob") || !slices.Contains(links, "vars/per-machine/web/a/f/groups/ops") {
		t.Errorf("the links: %v", links)
	}
	w.sound()
	if p := w.plan(Request{}); !p.Empty() {
		t.Errorf("planned: %s", p)
	}
	again, err := w.fleet.JoinGroup(t.Context(), "ops", bob, "", keysOptions)
	if must(t, again, err); len(again.Paths) > 0 {
		t.Errorf("twice: %v", again.Paths)
	}
	list, err := w.fleet.ListKeys(t.Context())
	if diff := cmp.Diff([]KeyGroup{{Name: "ops", Users: []string{"bob"}, Machines: []string{}}}, list.Groups); diff != "" || err != nil {
		t.Errorf("%s (%v)", diff, err)
	}

	// With db in the group, it reads what only web read before.
	report, err = w.fleet.JoinGroup(t.Context(), "ops", secrets.Member{Name: "db", Machine: true}, "", keysOptions)
	must(t, report, err)
	w.sound()
	if _, err := w.fleet.LeaveGroup(t.Context(), "ops", secrets.Member{Name: "zoe"}, keysOptions); err == nil {
		t.Error("zoe left")
	}
	report, err = w.fleet.LeaveGroup(t.Context(), "ops", bob, keysOptions)
	must(t, report, err)
	if reads("web", "a/f") || len(report.Rotate) == 0 {
		t.Errorf("bob still reads; rotate %v", report.Rotate)
	}
	w.sound()
	if report, err = w.fleet.LeaveGroup(t.Context(), "ops", secrets.Member{Name: "db", Machine: true}, keysOptions); err != nil {
		t.Fatal(err)
	}
	w.sound()
	// What db shares as a machine it goes on reading.
	if slices.ContainsFunc(report.Reencrypted, func(name string) bool { return strings.HasPrefix(name, "db/") }) {
		t.Errorf("encrypted anew: %v", report.Reencrypted)
	}
}

func TestNativeHasNoGroups(t *testing.T) {
	w := guarded(t)
	if _, err := w.fleet.JoinGroup(t.Context(), "ops", secrets.Member{Name: "alice"}, "", keysOptions); err == nil || !strings.Contains(err.Error(), "no groups") {
		t.Errorf("got %v", err)
	}
}

// Two users with one key: when one goes, the other takes his links over.
func TestClanTwinUsers(t *testing.T) {
	w := clanWorld(t)
	key, err := os.ReadFile(filepath.Join(w.root, "sops/users/alice/key.json"))
	if err != nil {
		t.Fatal(err)
	}
	w.write("sops/users/zoe/key.json", string(key))
	report, err := w.fleet.RemoveKey(t.Context(), "alice", "", keysOptions)
	must(t, report, err)
	if len(report.Reencrypted) != 0 {
		t.Errorf("encrypted anew: %v", report.Reencrypted)
	}
	for _, link := range w.links() {
		if path.Base(link) == "alice" {
			t.Errorf("%s is left", link)
		}
	}
	w.sound()
	if got := w.get("web", "a/f"); got != "web\n" {
		t.Errorf("got %q", got)
	}
}

func TestClanRotate(t *testing.T) {
	w := clanWorld(t)
	links := w.links()
	report, err := w.fleet.RotateMachineKey(t.Context(), "web", keysOptions)
	must(t, report, err)
	w.sound()
	if diff := cmp.Diff(links, w.links()); diff != "" {
		t.Error(diff)
	}
}

// What a real repository had: links and readers that do not agree.
func TestClanFix(t *testing.T) {
	w := clanWorld(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Remove(filepath.Join(w.root, "vars/per-machine/web/a/f/machines/web")))
	must(os.Symlink("../../../../../../sops/machines/web", filepath.Join(w.root, "vars/per-machine/web/a/l/users/web")))
	must(os.Symlink("../../../../../sops/machines/web", filepath.Join(w.root, "sops/machines/web/web")))
	must(os.MkdirAll(filepath.Join(w.root, "vars/per-machine/web/a/l/machines"), 0o755))
	must(os.Symlink("../../../../../../sops/machines/web", filepath.Join(w.root, "vars/per-machine/web/a/l/machines/web")))
	a, err := w.fleet.Audit(t.Context(), true)
	must(err)
	var found []string
	for _, finding := range a.Findings {
		found = append(found, finding.Value)
	}
	slices.Sort(found)
	if diff := cmp.Diff([]string{"sops/machines/web/web", "web/a/f", "web/a/l"}, slices.Compact(found)); diff != "" {
		t.Error(diff)
	}
	_, err = w.fleet.Fix(t.Context(), FixOptions{Now: time.Now})
	must(err)
	must(os.Remove(filepath.Join(w.root, "sops/machines/web/web")))
	w.sound()
	for _, link := range []string{"vars/per-machine/web/a/l/machines", "vars/per-machine/web/a/l/users/web"} {
		if _, err := os.Lstat(filepath.Join(w.root, link)); err == nil {
			t.Errorf("%s is left", link)
		}
	}
}
