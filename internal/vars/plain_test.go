package vars

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crs58/fleet/internal/secrets"
)

// plainWorld is a repository in the layout of clan without any value: alice is
// at it, bob is another user, he alone is in the group ops, and the machines web
// and db have keys. The others' identities are by their names.
func plainWorld(t *testing.T) (*world, map[string]*secrets.Identities) {
	t.Helper()
	w := newWorldIn(t, map[string][]*genT{"web": nil, "db": nil}, func(dir, public string) (secrets.Layout, error) {
		return secrets.OpenClan(dir, secrets.ClanOptions{Own: []string{public}})
	})
	others := map[string]*secrets.Identities{}
	for _, name := range []string{"users/bob", "machines/web", "machines/db"} {
		public, ids := keyPair(t)
		data, err := secrets.FormatKeys([]secrets.Key{{PublicKey: public, Type: "age"}})
		if err != nil {
			t.Fatal(err)
		}
		w.write("sops/"+name+"/key.json", string(data))
		others[filepath.Base(name)] = ids
	}
	w.link("../../../users/bob", "sops/groups/ops/users/bob")
	w.git("add", "sops")
	w.git("commit", "--quiet", "--message=keys")
	return w, others
}

// done wants no error of a change of secrets.
func (w *world) done(report *SecretsReport, err error) *SecretsReport {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

// setSecret gives a secret a value.
func (w *world) setSecret(name, value string, who secrets.Linked) *SecretsReport {
	w.t.Helper()
	return w.done(w.fleet.SetSecrets(w.t.Context(), map[string][]byte{name: []byte(value)}, who, true, keysOptions))
}

// secret holds a secret against who opens it, and the links against the readers.
func (w *world) secret(name, value string, others map[string]*secrets.Identities, readers ...string) {
	w.t.Helper()
	var got []string
	for _, who := range sorted(others) {
		data, err := w.as(others[who]).fleet.GetSecret(w.t.Context(), name)
		switch {
		case noKeyAtHand(err):
			continue
		case err != nil:
			w.t.Fatal(err)
		case string(data) != value:
			w.t.Errorf("%s reads %q", who, data)
		}
		got = append(got, who)
	}
	if data, err := w.fleet.GetSecret(w.t.Context(), name); err != nil || string(data) != value {
		w.t.Errorf("%s is %q (%v)", name, data, err)
	}
	if diff := cmp.Diff(readers, got); diff != "" {
		w.t.Errorf("who reads %s: %s", name, diff)
	}
	w.right()
}

// right wants nothing found about the secrets.
func (w *world) right() {
	w.t.Helper()
	findings, err := w.fleet.auditPlain(w.t.Context())
	if err != nil || len(findings) > 0 {
		w.t.Errorf("found %v (%v)", findings, err)
	}
}

func TestSetSecret(t *testing.T) {
	w, others := plainWorld(t)
	before := w.snapshot()
	dry := keysOptions
	dry.DryRun = true
	given := map[string][]byte{"token": []byte("one\x00\n")}
	planned := w.done(w.fleet.SetSecrets(t.Context(), given, secrets.Linked{Machines: []string{"web"}}, true, dry))
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("a dry run changed\n%s", diff)
	}
	commit := keysOptions
	commit.Commit = true
	report := w.done(w.fleet.SetSecrets(t.Context(), given, secrets.Linked{Machines: []string{"web"}}, true, commit))
	if diff := cmp.Diff(planned, report); diff != "" {
		t.Errorf("planned and done differ\n%s", diff)
	}
	want := []string{"sops/secrets/token/machines/web", "sops/secrets/token/secret", "sops/secrets/token/users/alice"}
	if diff := cmp.Diff(want, report.Paths); diff != "" {
		t.Error(diff)
	}
	if got := w.snapshot()["sops/secrets/token/machines/web"]; got != "link to ../../../machines/web" {
		t.Error(got)
	}
	if got := w.git("log", "-1", "--format=%s") + w.git("status", "--porcelain"); got != "feat(vars): set secret token\n" {
		t.Errorf("git says %q", got)
	}
	w.secret("token", "one\x00\n", others, "web")

	// Again there is nothing to do, not even a new envelope; more readers come
	// without a new value, and with one those who are there stay.
	if report := w.setSecret("token", "one\x00\n", secrets.Linked{}); len(report.Paths) > 0 || report.Secrets[0].Action != SecretKeeps {
		t.Errorf("again: %+v", report)
	}
	report = w.setSecret("token", "one\x00\n", secrets.Linked{Groups: []string{"ops"}})
	if diff := cmp.Diff([]SecretChange{{Name: "token", Action: SecretGrants, Added: []string{"group ops"}, Removed: []string{}, Machines: []string{"web"}}}, report.Secrets); diff != "" {
		t.Error(diff)
	}
	w.secret("token", "one\x00\n", others, "bob", "web")
	w.setSecret("token", "", secrets.Linked{Machines: []string{"db"}})
	w.secret("token", "", others, "bob", "db", "web")
}

// Who writes an existing secret reads it too, as with clan.
func TestSetSecretByAnother(t *testing.T) {
	w, others := plainWorld(t)
	w.setSecret("token", "alice's", secrets.Linked{})
	layout, err := secrets.OpenClan(w.root, secrets.ClanOptions{Own: others["bob"].Recipients()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { layout.Close() })
	bob := w.as(others["bob"])
	bob.fleet.Layout = layout
	bob.setSecret("token", "bob's", secrets.Linked{})
	w.secret("token", "bob's", others, "bob")
	if links := w.links(); !slices.Contains(links, "sops/secrets/token/users/bob") || !slices.Contains(links, "sops/secrets/token/users/alice") {
		t.Errorf("links %v", links)
	}
}

func TestSetSecretsAllOrNone(t *testing.T) {
	w, others := plainWorld(t)
	w.setSecret("b", "old", secrets.Linked{})
	before := w.snapshot()
	given := map[string][]byte{"a": []byte("1"), "b": []byte("2")}
	if _, err := w.fleet.SetSecrets(t.Context(), given, secrets.Linked{}, false, keysOptions); err == nil || !strings.Contains(err.Error(), "nothing was changed: b; --replace") {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{"../x", "web-age.key", "a+b", "", ".a"} {
		if _, err := w.fleet.SetSecrets(t.Context(), map[string][]byte{"a": nil, name: nil}, secrets.Linked{}, true, keysOptions); err == nil || !strings.Contains(err.Error(), "cannot be used") {
			t.Errorf("%q: got %v", name, err)
		}
	}
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("it changed\n%s", diff)
	}
	given["b"] = []byte("old")
	w.done(w.fleet.SetSecrets(t.Context(), given, secrets.Linked{}, false, keysOptions))
	w.secret("a", "1", others)
}

func TestGrantAndRevoke(t *testing.T) {
	w, others := plainWorld(t)
	w.setSecret("token", "value", secrets.Linked{})
	who := secrets.Linked{Users: []string{"bob"}, Machines: []string{"db"}}
	w.done(w.fleet.GrantSecret(t.Context(), "token", who, keysOptions))
	w.secret("token", "value", others, "bob", "db")
	if report := w.done(w.fleet.GrantSecret(t.Context(), "token", who, keysOptions)); len(report.Paths) > 0 {
		t.Errorf("again: %v", report.Paths)
	}

	// In the group too, bob goes on reading it: only a link goes.
	w.done(w.fleet.GrantSecret(t.Context(), "token", secrets.Linked{Groups: []string{"ops"}}, keysOptions))
	envelope := w.snapshot()["sops/secrets/token/secret"]
	report := w.done(w.fleet.RevokeSecret(t.Context(), "token", secrets.Linked{Users: []string{"bob"}}, keysOptions))
	if diff := cmp.Diff([]string{"sops/secrets/token/users/bob"}, report.Paths); diff != "" || len(report.Rotate) > 0 {
		t.Errorf("%s, rotate %v", diff, report.Rotate)
	}
	w.secret("token", "value", others, "bob", "db")

	commit := keysOptions
	commit.Commit = true
	report = w.done(w.fleet.RevokeSecret(t.Context(), "token", secrets.Linked{Groups: []string{"ops"}, Machines: []string{"db"}}, commit))
	if diff := cmp.Diff([]Seen{{"secret token", "fleet vars secrets set token"}}, report.Rotate); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"machine db", "group ops"}, report.Secrets[0].Removed); diff != "" {
		t.Error(diff)
	}
	w.secret("token", "value", others)
	data, _, _ := strings.Cut(envelope, `"sops"`)
	if strings.HasPrefix(w.snapshot()["sops/secrets/token/secret"], data) {
		t.Error("the data key is the old one")
	}
	if links := strings.Join(w.links(), "\n"); strings.Contains(links, "token/groups") || strings.Contains(links, "token/machines") {
		t.Errorf("links are left:\n%s", links)
	}
}

func TestSecretsRefused(t *testing.T) {
	w, _ := plainWorld(t)
	w.setSecret("token", "value", secrets.Linked{Machines: []string{"web"}})
	w.generateKey("web2")
	before := w.snapshot()
	who := func(kind, name string) secrets.Linked {
		switch kind {
		case "user":
			return secrets.Linked{Users: []string{name}}
		case "machine":
			return secrets.Linked{Machines: []string{name}}
		}
		return secrets.Linked{Groups: []string{name}}
	}
	for want, try := range map[string]func() (*SecretsReport, error){
		"there is no secret tokn, did you mean token?": func() (*SecretsReport, error) {
			return w.fleet.GrantSecret(t.Context(), "tokn", who("user", "bob"), keysOptions)
		},
		"there is no user bobb, did you mean bob?": func() (*SecretsReport, error) {
			return w.fleet.GrantSecret(t.Context(), "token", who("user", "bobb"), keysOptions)
		},
		"there is no machine wep that has a key, did you mean web?": func() (*SecretsReport, error) {
			return w.fleet.GrantSecret(t.Context(), "token", who("machine", "wep"), keysOptions)
		},
		"there is nobody in a group opps, did you mean ops?": func() (*SecretsReport, error) {
			return w.fleet.SetSecrets(t.Context(), map[string][]byte{"new": nil}, who("group", "opps"), true, keysOptions)
		},
		"the key of machine web2 is read by people only": func() (*SecretsReport, error) {
			return w.fleet.GrantSecret(t.Context(), "web2-age.key", who("machine", "web"), keysOptions)
		},
		"nobody would be left who can read secret token": func() (*SecretsReport, error) {
			return w.fleet.RevokeSecret(t.Context(), "token", who("user", "alice"), keysOptions)
		},
		"user bob is not noted as a reader of secret token, those are user alice, machine web": func() (*SecretsReport, error) {
			return w.fleet.RevokeSecret(t.Context(), "token", who("user", "bob"), keysOptions)
		},
		"the recovery key reads everything": func() (*SecretsReport, error) {
			return w.fleet.RevokeSecret(t.Context(), "token", who("user", "recovery"), keysOptions)
		},
		"`fleet vars keys rotate web2` makes another": func() (*SecretsReport, error) {
			return w.fleet.RemoveSecret(t.Context(), "web2-age.key", keysOptions)
		},
		"there is a secret token already": func() (*SecretsReport, error) {
			return w.fleet.RenameSecret(t.Context(), "token", "token", keysOptions)
		},
		"are those of the private keys of machines": func() (*SecretsReport, error) {
			return w.fleet.RenameSecret(t.Context(), "token", "db-age.key", keysOptions)
		},
	} {
		if _, err := try(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("wanted %q, got %v", want, err)
		}
	}
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("it changed\n%s", diff)
	}
}

// generateKey makes a machine's key.
func (w *world) generateKey(machine string) {
	w.t.Helper()
	_, files, err := secrets.EnsureMachineKey(w.t.Context(), w.fleet.Layout, machine, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range files {
		if f.Link != "" {
			w.link(f.Link, f.Path)
		} else {
			w.write(f.Path, string(f.Data))
		}
	}
}

// The private key of a machine can be handed to another administrator alone.
func TestGrantMachineKey(t *testing.T) {
	w, others := plainWorld(t)
	w.generateKey("web2")
	w.done(w.fleet.GrantSecret(t.Context(), "web2-age.key", secrets.Linked{Users: []string{"bob"}}, keysOptions))
	if _, err := w.as(others["bob"]).fleet.GetSecret(t.Context(), "web2-age.key"); err != nil {
		t.Error(err)
	}
	report := w.done(w.fleet.RevokeSecret(t.Context(), "web2-age.key", secrets.Linked{Users: []string{"bob"}}, keysOptions))
	if diff := cmp.Diff([]Seen{{"the key of machine web2", "fleet vars keys rotate web2"}}, report.Rotate); diff != "" {
		t.Error(diff)
	}
	if _, err := w.as(others["bob"]).fleet.GetSecret(t.Context(), "web2-age.key"); !noKeyAtHand(err) {
		t.Errorf("bob still reads: %v", err)
	}
}

func TestRenameAndRemoveSecret(t *testing.T) {
	w, others := plainWorld(t)
	w.setSecret("token", "value", secrets.Linked{Machines: []string{"web"}, Groups: []string{"ops"}})
	envelope := w.snapshot()["sops/secrets/token/secret"]
	report := w.done(w.fleet.RenameSecret(t.Context(), "token", "cloud.token", keysOptions))
	if diff := cmp.Diff([]SecretChange{{Name: "token", To: "cloud.token", Action: SecretRenames, Added: []string{}, Removed: []string{}, Machines: []string{"web"}}}, report.Secrets); diff != "" {
		t.Error(diff)
	}
	if w.snapshot()["sops/secrets/cloud.token/secret"] != envelope {
		t.Error("the envelope changed")
	}
	w.secret("cloud.token", "value", others, "bob", "web")
	if _, err := os.Lstat(filepath.Join(w.root, "sops/secrets/token")); err == nil {
		t.Error("the old folder is left")
	}
	report = w.done(w.fleet.RemoveSecret(t.Context(), "cloud.token", keysOptions))
	if len(report.Paths) != 4 {
		t.Errorf("removed %v", report.Paths)
	}
	if rows, err := w.fleet.ListSecrets(t.Context()); len(rows) > 0 || err != nil {
		t.Errorf("listed %v (%v)", rows, err)
	}
	if _, err := os.Lstat(filepath.Join(w.root, "sops/secrets")); err == nil {
		t.Error("the empty folder is left")
	}
}

// Keys that come and go reach the secrets too, and check and fix look at them.
func TestSecretsAreAudited(t *testing.T) {
	w, others := plainWorld(t)
	w.setSecret("token", "value", secrets.Linked{Machines: []string{"web"}})
	public, ids := keyPair(t)
	report, err := w.fleet.AddKey(t.Context(), "zoe", public, keysOptions)
	must(t, report, err)
	w.secret("token", "value", map[string]*secrets.Identities{"zoe": ids}, "zoe")
	report, err = w.fleet.RemoveKey(t.Context(), "zoe", "", keysOptions)
	if must(t, report, err); !slices.Contains(report.Rotate, Seen{"secret token", "fleet vars secrets set token"}) {
		t.Errorf("rotate %v", report.Rotate)
	}
	w.secret("token", "value", others, "web")

	// Links by hand: one too many to read it, and one missing.
	w.link("../../../machines/db", "sops/secrets/token/machines/db")
	w.remove("sops/secrets/token/machines/web")
	rows, err := w.fleet.ListSecrets(t.Context())
	if err != nil || len(rows) != 1 || rows[0].Readers() != "lacks machine db" || cmp.Diff([]string{"machine web"}, rows[0].Extra) != "" {
		t.Errorf("listed %+v (%v)", rows, err)
	}
	if findings, _ := w.audit(true); !strings.Contains(findings, "secret token: it cannot be read by machine db; run `fleet vars fix`") || !strings.Contains(findings, "secret token: it can also be read by machine web") {
		t.Errorf("found %s", findings)
	}
	fixed := w.fix(FixOptions{Whole: true})
	if len(fixed.Rotate) != 1 || fixed.Rotate[0].Mend != "run `fleet vars secrets set token`" {
		t.Errorf("rotate %v", fixed.Rotate)
	}
	w.secret("token", "value", others, "db")

	// Of nobody.
	w.write("sops/secrets/lost/secret", w.sealedFor(t))
	if findings, _ := w.audit(true); !strings.Contains(findings, "secret lost: nobody of this fleet can read it; set it again with `fleet vars secrets set lost`") {
		t.Errorf("found %s", findings)
	}
	w.write("sops/secrets/plain/secret", "hunter2")
	if findings, _ := w.audit(true); !strings.Contains(findings, "secret plain: not a sops file, so it may lie there in plain") {
		t.Errorf("found %s", findings)
	}
	if findings, _ := w.audit(false); strings.Contains(findings, "lost") {
		t.Errorf("not the whole was looked at: %s", findings)
	}
}

// Another key of somebody who reads only some secrets opens no more than those,
// whoever adds it and however often.
func TestAddKeyOfLimitedUser(t *testing.T) {
	w, others := plainWorld(t)
	w.setSecret("own", "value", secrets.Linked{})
	w.setSecret("bobs", "value", secrets.Linked{Users: []string{"bob"}})
	w.setSecret("ops", "value", secrets.Linked{Groups: []string{"ops"}})
	public, ids := keyPair(t)
	others = map[string]*secrets.Identities{"bob": others["bob"], "second": ids}
	for range 2 {
		report, err := w.fleet.AddKey(t.Context(), "bob", public, keysOptions)
		must(t, report, err)
		w.secret("own", "value", others)
		w.secret("bobs", "value", others, "bob", "second")
		w.secret("ops", "value", others, "bob", "second")
	}
}

// sealedFor is an envelope for a key that nobody has.
func (w *world) sealedFor(t *testing.T) string {
	t.Helper()
	public, _ := keyPair(t)
	envelope, err := secrets.Encrypt(t.Context(), []byte("x"), []string{public}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return string(envelope)
}

func TestReadSopsFile(t *testing.T) {
	w, _ := plainWorld(t)
	w.seal("all.yaml", "# a comment\ntoken: abc\nempty: \"\"\nmany: \"a\\nb\\n\"\nport: 80\nflag: true\nlist: [a]\nnested: {a: b}\nopen_unencrypted: x\n", w.fleet.Identities.Recipients()...)
	given, others, err := w.fleet.ReadSopsFile(t.Context(), "all.yaml", []byte(w.snapshot()["all.yaml"]), "cloud-")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"cloud-token": []byte("abc"), "cloud-empty": {}, "cloud-many": []byte("a\nb\n"), "cloud-open_unencrypted": []byte("x")}
	if diff := cmp.Diff(want, given); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"flag", "list", "nested", "port"}, others); diff != "" {
		t.Error(diff)
	}
	if _, _, err := w.fleet.ReadSopsFile(t.Context(), "a.yaml", []byte("token: abc\n"), ""); err == nil {
		t.Error("a plain file was read")
	}
}

func TestNativeHasNoPlainSecrets(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.fleet.ListSecrets(t.Context()); err == nil || !strings.Contains(err.Error(), "has no secrets without a generator") {
		t.Errorf("got %v", err)
	}
	if _, err := w.fleet.RemoveSecret(t.Context(), "x", keysOptions); err == nil || !strings.Contains(err.Error(), "has no secrets without a generator") {
		t.Errorf("got %v", err)
	}
}
