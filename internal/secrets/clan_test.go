package secrets

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/repository"
)

// clanRepo is a repository as clan makes it, with keys for everybody in it.
type clanRepo struct {
	t    *testing.T
	dir  string
	opts ClanOptions
	keys map[string]keyPair // by users/alice, machines/web
}

func newClanRepo(t *testing.T, holders ...string) *clanRepo {
	t.Helper()
	r := &clanRepo{t: t, dir: t.TempDir(), opts: ClanOptions{Groups: map[string][]string{}}, keys: map[string]keyPair{}}
	for _, holder := range holders {
		pair := newKeyPair(t)
		r.keys[holder] = pair
		r.holder(holder, pair.public)
	}
	return r
}

func (r *clanRepo) holder(name, public string) {
	r.t.Helper()
	data, err := FormatKeys([]Key{{public, "age"}})
	if err != nil {
		r.t.Fatal(err)
	}
	put(r.t, r.dir, "sops/"+name+"/key.json", string(data), 0o755) // the mode that clan gives
}

// link makes a link to sops/KIND/NAME as clan does.
func (r *clanRepo) link(folder, holder string) {
	r.t.Helper()
	apply(r.t, r.dir, []repository.File{{Path: path.Join(folder, holder), Link: linkTo(path.Join(folder, path.Dir(holder)), path.Dir(holder), path.Base(holder))}})
}

func (r *clanRepo) as(holder string) *clanRepo {
	r.opts.Own = []string{r.keys[holder].public}
	return r
}

func (r *clanRepo) open() *Clan {
	r.t.Helper()
	layout, err := OpenClan(r.dir, r.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { layout.Close() })
	return layout
}

// machines are holders with the keys of the repository.
func (r *clanRepo) machines(names ...string) (holders []Holder) {
	for _, name := range names {
		holders = append(holders, Holder{name, []Key{{r.keys["machines/"+name].public, "age"}}})
	}
	return holders
}

// names tells whose keys these are.
func (r *clanRepo) names(recipients []string) []string {
	names := []string{}
	for _, key := range recipients {
		for name, pair := range r.keys {
			if pair.public == key {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}

// linked lists the links beside a value, and checks where they lead.
func (r *clanRepo) linked(layout *Clan, ref Ref) []string {
	r.t.Helper()
	file, err := layout.Path(ref)
	if err != nil {
		r.t.Fatal(err)
	}
	names := []string{}
	for _, kind := range []string{"machines", "users", "groups"} {
		entries, _ := os.ReadDir(filepath.Join(r.dir, path.Dir(file), kind))
		for _, entry := range entries {
			name := kind + "/" + entry.Name()
			names = append(names, name)
			target, err := filepath.EvalSymlinks(filepath.Join(r.dir, path.Dir(file), name))
			if err != nil || target != filepath.Join(r.dir, "sops", name) {
				r.t.Errorf("%s leads to %s (%v)", name, target, err)
			}
		}
	}
	return names
}

func (r *clanRepo) seal(ref Ref, machines ...string) *Clan {
	r.t.Helper()
	layout := r.open()
	files, err := Seal(r.t.Context(), layout, ref, []byte("value"), r.machines(machines...), testTime)
	if err != nil {
		r.t.Fatal(err)
	}
	apply(r.t, r.dir, files)
	return layout
}

// right checks that the envelope and the links of a value say the same.
func (r *clanRepo) right(layout *Clan, ref Ref, readers, links string) {
	r.t.Helper()
	envelope, err := layout.Read(ref)
	if err != nil {
		r.t.Fatal(err)
	}
	recipients, err := EnvelopeRecipients(envelope)
	if err != nil {
		r.t.Fatal(err)
	}
	if got := strings.Join(r.names(recipients), " "); got != readers {
		r.t.Errorf("%s is for %s, not for %s", ref, got, readers)
	}
	if got := strings.Join(r.linked(layout, ref), " "); got != links {
		r.t.Errorf("%s is linked to %s, not to %s", ref, got, links)
	}
	if files, err := layout.Links(ref, recipients); err != nil || len(files) > 0 {
		r.t.Errorf("%s: the links are to change: %v (%v)", ref, files, err)
	}
}

func TestClanPaths(t *testing.T) {
	layout := newClanRepo(t).open()
	for ref, want := range map[Ref]string{
		{"cinnabar", "openssh", "ssh.id_ed25519", true}:      "vars/per-machine/cinnabar/openssh/ssh.id_ed25519/secret",
		{"cinnabar", "openssh", "ssh.id_ed25519.pub", false}: "vars/per-machine/cinnabar/openssh/ssh.id_ed25519.pub/value",
		{"", "tor_tor", "secret", true}:                      "vars/shared/tor_tor/secret/secret",
		KeyRef("cinnabar"):                                   "sops/secrets/cinnabar-age.key/secret",
		PlainRef("hetzner-api-token"):                        "sops/secrets/hetzner-api-token/secret",
	} {
		if got, err := layout.Path(ref); err != nil || got != want {
			t.Errorf("%s: %s instead of %s (%v)", ref, got, want, err)
		}
	}
	for _, ref := range []Ref{{"..", "g", "f", true}, {"m", "a/b", "f", true}, {"", "g", ".validation-hash", false}, {"m", "", "f", true}, KeyRef("../x"), PlainRef("")} {
		if got, err := layout.Path(ref); err == nil {
			t.Errorf("%v lies in %s", ref, got)
		}
	}
}

func TestClanSeal(t *testing.T) {
	secret := Ref{"web", "g", "f", true}
	shared := Ref{"", "g", "f", true}
	everybody := []string{"users/alice", "users/bob", "machines/web", "machines/db"}

	t.Run("the writer and the machine", func(t *testing.T) {
		r := newClanRepo(t, everybody...).as("users/bob")
		r.right(r.seal(secret, "web"), secret, "machines/web users/bob", "machines/web users/bob")
	})
	t.Run("not deployed", func(t *testing.T) {
		r := newClanRepo(t, everybody...).as("users/bob")
		r.right(r.seal(secret), secret, "users/bob", "users/bob")
	})
	t.Run("shared", func(t *testing.T) {
		r := newClanRepo(t, everybody...).as("users/bob")
		r.right(r.seal(shared, "web", "db"), shared, "machines/db machines/web users/bob", "machines/db machines/web users/bob")
	})
	t.Run("default groups", func(t *testing.T) {
		r := newClanRepo(t, append(everybody, "users/carol")...).as("users/bob")
		for _, member := range []string{"users/alice", "users/bob", "machines/db"} {
			r.link("sops/groups/admins", member)
		}
		r.opts.Groups["web"] = []string{"admins", "none"}
		r.right(r.seal(secret, "web"), secret, "machines/db machines/web users/alice users/bob", "machines/web users/bob groups/admins")
		r.right(r.seal(shared, "web"), shared, "machines/db machines/web users/alice users/bob", "machines/web users/bob groups/admins")
	})
	t.Run("a recovery key", func(t *testing.T) {
		r := newClanRepo(t, append(everybody, "users/recovery")...).as("users/bob")
		r.right(r.seal(secret, "web"), secret, "machines/web users/bob users/recovery", "machines/web users/bob users/recovery")
	})
	t.Run("another writer", func(t *testing.T) {
		r := newClanRepo(t, everybody...).as("users/alice")
		r.seal(secret, "web")
		r.right(r.as("users/bob").seal(secret, "web"), secret, "machines/web users/alice users/bob", "machines/web users/alice users/bob")
	})
	t.Run("two users with one key", func(t *testing.T) {
		r := newClanRepo(t, everybody...)
		r.holder("users/bobby", r.keys["users/bob"].public)
		r.link("vars/per-machine/web/g/f", "users/bobby")
		r.right(r.as("users/bob").seal(secret, "web"), secret, "machines/web users/bob", "machines/web users/bob users/bobby")
	})
	t.Run("nobody", func(t *testing.T) {
		layout := newClanRepo(t, everybody...).open()
		if _, err := Seal(t.Context(), layout, secret, nil, nil, testTime); err == nil {
			t.Error("it was sealed for nobody")
		}
	})
}

func TestLinkTo(t *testing.T) {
	for folder, want := range map[string]string{
		"vars/per-machine/m/g/f/users": "../../../../../../sops/users/alice",
		"vars/shared/g/f/users":        "../../../../../sops/users/alice",
		"sops/secrets/m-age.key/users": "../../../users/alice",
		"sops/groups/admins/users":     "../../../users/alice",
	} {
		if got := linkTo(folder, "users", "alice"); got != want {
			t.Errorf("%s: %s, not %s", folder, got, want)
		}
	}
}

// A key of a machine is for people only, and clan's own name for it.
func TestClanMachineKey(t *testing.T) {
	r := newClanRepo(t, "users/alice").as("users/alice")
	r.opts.Groups["web"] = []string{"admins"}
	r.link("sops/groups/admins", "users/alice")
	layout := r.open()
	holder, files, err := EnsureMachineKey(t.Context(), layout, "web", testTime)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, r.dir, files)
	r.right(layout, KeyRef("web"), "users/alice", "users/alice groups/admins")
	if _, err := MachinePrivateKey(t.Context(), layout, "web", r.keys["users/alice"].ids); err != nil {
		t.Error(err)
	}
	if got, err := layout.Machine("web"); err != nil || !slices.Equal(got.Recipients(), holder.Recipients()) {
		t.Errorf("%v (%v)", got, err)
	}
	others, err := layout.Others()
	if diff := cmp.Diff([]Ref{KeyRef("web")}, others); diff != "" || err != nil {
		t.Errorf("%s (%v)", diff, err)
	}
}

// What the links say decides who should read; these are the drifts of a real
// repository.
func TestClanDrift(t *testing.T) {
	secret := Ref{"web", "g", "f", true}
	folder := "vars/per-machine/web/g/f"
	for _, test := range []struct {
		name    string
		links   []string
		readers []string
		deploy  bool
		wanted  string
		changed []string // links
	}{
		{"right", []string{"machines/web", "users/alice"}, []string{"machines/web", "users/alice"}, true, "machines/web users/alice", nil},
		{"a machine that should not", []string{"users/alice"}, []string{"machines/web", "users/alice"}, false, "users/alice", nil},
		{"a link that should not be", []string{"machines/web", "users/alice"}, []string{"users/alice"}, false, "users/alice", []string{"-machines/web"}},
		{"an old key and no machine", []string{"machines/web", "users/alice"}, []string{"users/alice", "users/gone"}, true, "machines/web users/alice", nil},
		{"a link is missing", []string{"users/alice"}, []string{"machines/web", "users/alice"}, true, "machines/web users/alice", []string{"+machines/web"}},
		{"no link to a person", []string{"machines/web"}, []string{"machines/web", "users/bob"}, true, "machines/web users/bob", []string{"+users/bob"}},
		{"a link leads nowhere", []string{"machines/web", "machines/old", "users/alice"}, []string{"machines/web", "users/alice"}, true, "machines/web users/alice", []string{"-machines/old"}},
		{"another machine", []string{"machines/web", "machines/db", "users/alice"}, []string{"machines/web", "machines/db", "users/alice"}, true, "machines/web users/alice", []string{"-machines/db"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newClanRepo(t, "users/alice", "users/bob", "machines/web", "machines/db").as("users/alice")
			r.keys["users/gone"] = newKeyPair(t)
			var recipients []string
			for _, reader := range test.readers {
				recipients = append(recipients, r.keys[reader].public)
			}
			put(t, r.dir, folder+"/secret", string(encrypt(t, []byte("x"), recipients...)), 0o644)
			for _, link := range test.links {
				r.link(folder, link)
			}
			layout := r.open()
			var machines []Holder
			if test.deploy {
				machines = r.machines("web")
			}
			wanted, err := layout.Wanted(secret, machines)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(r.names(wanted), " "); got != test.wanted {
				t.Errorf("wanted: %s, not %s", got, test.wanted)
			}
			files, err := layout.Links(secret, wanted)
			if err != nil {
				t.Fatal(err)
			}
			var changed []string
			for _, file := range files {
				name := strings.TrimPrefix(file.Path, folder+"/")
				if file.Gone {
					changed = append(changed, "-"+name)
				} else {
					changed = append(changed, "+"+name)
				}
			}
			if diff := cmp.Diff(test.changed, changed); diff != "" {
				t.Errorf("the links:\n%s", diff)
			}
		})
	}
}

func TestClanListAndSurvey(t *testing.T) {
	r := newClanRepo(t, "users/alice", "machines/web", "machines/gcp-vm").as("users/alice")
	put(t, r.dir, "vars/per-machine/web/a/secret/secret", "{}", 0o644)
	put(t, r.dir, "vars/per-machine/web/a/pub/value", "", 0o644)
	put(t, r.dir, "vars/per-machine/web/a/.validation-hash", "abc\n", 0o644)
	put(t, r.dir, "vars/per-machine/old/b/key/value", "", 0o644)
	put(t, r.dir, "vars/shared/c/f/secret", "{}", 0o644)
	put(t, r.dir, "vars/shared/c/f/users/.keep", "", 0o644)
	put(t, r.dir, "vars/per-export/x:y::/g/f/value", "", 0o644)
	put(t, r.dir, "sops/secrets/token/secret", "{}", 0o644)
	put(t, r.dir, "sops/secrets/empty/users/x", "", 0o644)
	put(t, r.dir, "sops/users/bob/key.json", "[]", 0o644)
	if err := os.Symlink("../../../../../sops/machines/web", filepath.Join(r.dir, "sops/machines/web/web")); err != nil {
		t.Fatal(err)
	}
	layout := r.open()
	refs, err := layout.List()
	if err != nil {
		t.Fatal(err)
	}
	want := []Ref{{"", "c", "f", true}, {"old", "b", "key", false}, {"web", "a", "pub", false}, {"web", "a", "secret", true}}
	if diff := cmp.Diff(want, refs); diff != "" {
		t.Error(diff)
	}
	if hash, err := layout.Hash("web", "a"); hash != "abc" || err != nil {
		t.Errorf("hash %q (%v)", hash, err)
	}
	if others, err := layout.Others(); !slices.Equal(others, []Ref{PlainRef("token")}) || err != nil {
		t.Errorf("%v (%v)", others, err)
	}
	s, err := layout.Survey()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"gcp-vm", "old", "web"}, s.Machines); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"sops/machines/web/web"}, s.Dangling); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"vars/shared/c/f/users/.keep"}, s.Hidden); diff != "" {
		t.Error(diff)
	}
	if len(s.Damaged) != 1 || s.Damaged[0].Path != "sops/users/bob/key.json" {
		t.Errorf("damaged: %v", s.Damaged)
	}
}

// A layout with files still to be written is that of the time after.
func TestWith(t *testing.T) {
	r := newClanRepo(t, "users/alice", "users/bob", "machines/web").as("users/alice")
	layout := r.open()
	carol := newKeyPair(t)
	r.keys["users/carol"] = carol
	keys, err := FormatKeys([]Key{{carol.public, "age"}})
	if err != nil {
		t.Fatal(err)
	}
	files := []repository.File{
		{Path: "sops/users/carol/key.json", Data: keys},
		{Path: "sops/users/bob/key.json", Gone: true},
		{Path: "vars/shared/g/f/users/carol", Link: "../../../../../sops/users/carol"},
		{Path: "vars/shared/g/f/value", Data: []byte("x")},
	}
	after := layout.With(files)
	users, err := after.Users()
	if err != nil {
		t.Fatal(err)
	}
	if len(users) != 2 || users[0].Name != "alice" || users[1].Name != "carol" {
		t.Errorf("users: %v", users)
	}
	if wanted, err := after.Wanted(Ref{"", "g", "f", true}, nil); err != nil || !slices.Equal(wanted, []string{carol.public}) {
		t.Errorf("wanted: %v (%v)", r.names(wanted), err)
	}
	refs, err := after.List()
	if diff := cmp.Diff([]Ref{{"", "g", "f", false}}, refs); diff != "" || err != nil {
		t.Errorf("%s (%v)", diff, err)
	}
	if data, err := after.Read(refs[0]); string(data) != "x" || err != nil {
		t.Errorf("%q (%v)", data, err)
	}
	if refs, err := layout.List(); len(refs) != 0 || err != nil {
		t.Errorf("before: %v (%v)", refs, err)
	}
}
