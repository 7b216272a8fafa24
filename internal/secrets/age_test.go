package secrets

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// ageRepo is a repository in clan's store age, whose flake names alice for every
// machine.
type ageRepo struct {
	t    *testing.T
	dir  string
	opts AgeOptions
	keys map[string]keyPair // by name: people, and machines from their files
}

func newAgeRepo(t *testing.T, people ...string) *ageRepo {
	t.Helper()
	r := &ageRepo{t: t, dir: t.TempDir(), keys: map[string]keyPair{}, opts: AgeOptions{
		Recipients: map[string][]string{}, Sharing: map[string][]string{}, Whole: true,
	}}
	for _, name := range people {
		r.keys[name] = newKeyPair(t)
	}
	return r
}

// names says whom the flake names for a machine.
func (r *ageRepo) names(machine string, people ...string) *ageRepo {
	r.opts.Recipients[machine] = []string{}
	for _, name := range people {
		r.opts.Recipients[machine] = append(r.opts.Recipients[machine], r.keys[name].public)
	}
	return r
}

func (r *ageRepo) open() *Age {
	r.t.Helper()
	layout, err := OpenAge(r.dir, r.opts)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { layout.Close() })
	return layout
}

// machine makes the key of a machine.
func (r *ageRepo) machine(name string) Holder {
	r.t.Helper()
	holder, files, err := EnsureMachineKey(r.t.Context(), r.open(), name, testTime)
	if err != nil {
		r.t.Fatal(err)
	}
	apply(r.t, r.dir, files)
	r.keys[name] = keyPair{public: holder.Recipients()[0]}
	return holder
}

func (r *ageRepo) seal(ref Ref, machines ...Holder) {
	r.t.Helper()
	files, err := Seal(r.t.Context(), r.open(), ref, []byte("value"), machines, testTime)
	if err != nil {
		r.t.Fatal(err)
	}
	apply(r.t, r.dir, files)
}

// readers names those who read a secret.
func (r *ageRepo) readers(ref Ref) string {
	r.t.Helper()
	recipients, err := Readers(r.open(), ref)
	if err != nil {
		return err.Error()
	}
	return r.whose(recipients)
}

func (r *ageRepo) whose(recipients []string) string {
	names := []string{}
	for _, key := range recipients {
		for name, pair := range r.keys {
			if pair.public == key {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// opens tells whether somebody can decrypt a secret.
func (r *ageRepo) opens(who string, ref Ref) bool {
	r.t.Helper()
	plain, err := Open(r.t.Context(), r.open(), ref, r.keys[who].ids)
	if err != nil && !noMatch(err) {
		r.t.Fatal(err)
	}
	return err == nil && (ref.IsKey() || string(plain) == "value")
}

func (r *ageRepo) read(name string) string {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join(r.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return string(data)
}

func TestAgePaths(t *testing.T) {
	layout := newAgeRepo(t).open()
	for ref, want := range map[Ref]string{
		{"cinnabar", "openssh", "ssh.id_ed25519", true}:      "secrets/clan-vars/per-machine/cinnabar/openssh/ssh.id_ed25519/ssh.id_ed25519.age",
		{"cinnabar", "openssh", "ssh.id_ed25519.pub", false}: "vars/per-machine/cinnabar/openssh/ssh.id_ed25519.pub/value",
		{"", "tor_tor", "secret", true}:                      "secrets/clan-vars/shared/tor_tor/secret/secret.age",
		KeyRef("cinnabar"):                                   "secrets/age-keys/machines/cinnabar/key.age",
	} {
		if got, err := layout.Path(ref); err != nil || got != want {
			t.Errorf("%s: %s instead of %s (%v)", ref, got, want, err)
		}
	}
	for _, ref := range []Ref{{"..", "g", "f", true}, {"m", "a/b", "f", true}, {"", "g", "..", true}, {"m", "", "f", true}, KeyRef("../x"), PlainRef("x")} {
		if got, err := layout.Path(ref); err == nil {
			t.Errorf("%v lies in %s", ref, got)
		}
	}
}

// Who reads what, and what is noted of it, are clan's rules.
func TestAgeSeal(t *testing.T) {
	own, shared := Ref{"web", "g", "f", true}, Ref{"", "g", "f", true}
	ownNote := "secrets/clan-vars/per-machine/web/g/f/f.age.recipients"
	sharedNote := "secrets/clan-vars/shared/g/f/f.age.recipients"
	lines := func(r *ageRepo, names ...string) string {
		var keys []string
		for _, name := range names {
			keys = append(keys, r.keys[name].public)
		}
		slices.Sort(keys)
		return strings.Join(keys, "\n") + "\n"
	}
	fleet := func(t *testing.T) *ageRepo {
		r := newAgeRepo(t, "alice", "bob").names("web", "alice").names("db", "alice", "bob")
		r.opts.Sharing["g"] = []string{"web", "db"}
		return r
	}

	t.Run("the key of a machine", func(t *testing.T) {
		r := fleet(t)
		web := r.machine("web")
		if got, want := r.read("secrets/age-keys/machines/web/pub"), web.Recipients()[0]; got != want {
			t.Errorf("pub is %q, not %q", got, want)
		}
		if got, want := r.read("secrets/age-keys/machines/web/key.age.recipients"), lines(r, "alice"); got != want {
			t.Errorf("noted: %q, not %q", got, want)
		}
		plain, err := Open(t.Context(), r.open(), KeyRef("web"), r.keys["alice"].ids)
		if want := "# created: 2026-03-04T05:06:07Z\n# public key: " + web.Recipients()[0] + "\nAGE-SECRET-KEY-1"; !strings.HasPrefix(string(plain), want) || !strings.HasSuffix(string(plain), "\n") || err != nil {
			t.Errorf("the private key is not as age-keygen prints it (%v)", err)
		}
		key, err := MachinePrivateKey(t.Context(), r.open(), "web", r.keys["alice"].ids)
		if string(key)+"\n" != string(plain) || err != nil {
			t.Errorf("another key comes to the machine (%v)", err)
		}
		if r.opens("bob", KeyRef("web")) {
			t.Error("bob reads the key of web")
		}
	})
	t.Run("deployed", func(t *testing.T) {
		r := fleet(t)
		r.seal(own, r.machine("web"))
		if got := r.readers(own); got != "web" || !r.opens("alice", own) || r.opens("bob", own) {
			t.Errorf("%s read it", got)
		}
		if got := r.read(ownNote); got != "" {
			t.Errorf("noted: %q", got)
		}
	})
	t.Run("not deployed", func(t *testing.T) {
		r := fleet(t)
		r.machine("web")
		r.seal(own)
		if got := r.readers(own); got != "alice" || !r.opens("alice", own) {
			t.Errorf("%s read it", got)
		}
		if got, want := r.read(ownNote), lines(r, "alice"); got != want {
			t.Errorf("noted: %q, not %q", got, want)
		}
	})
	t.Run("shared", func(t *testing.T) {
		r := fleet(t)
		r.seal(shared, r.machine("web"), r.machine("db"))
		if got := r.readers(shared); got != "db web" || !r.opens("alice", shared) || !r.opens("bob", shared) {
			t.Errorf("%s read it", got)
		}
		if got, want := r.read(sharedNote), lines(r, "web", "db"); got != want {
			t.Errorf("noted: %q, not %q", got, want)
		}
	})
	t.Run("shared and not deployed", func(t *testing.T) {
		r := fleet(t)
		r.seal(shared)
		if got := r.readers(shared); got != "alice bob" || !r.opens("bob", shared) {
			t.Errorf("%s read it", got)
		}
	})
	t.Run("shared with machines that are not known", func(t *testing.T) {
		r := fleet(t)
		r.seal(shared)
		delete(r.opts.Recipients, "db")
		r.opts.Sharing["g"], r.opts.Whole = []string{"web"}, false
		if wanted, err := r.open().Wanted(shared, nil); r.whose(wanted) != "alice bob" || err != nil {
			t.Errorf("wanted: %s (%v)", r.whose(wanted), err)
		}
		r.opts.Whole = true
		if wanted, err := r.open().Wanted(shared, nil); r.whose(wanted) != "alice" || err != nil {
			t.Errorf("wanted: %s (%v)", r.whose(wanted), err)
		}
	})
	t.Run("not deployed any more, and deployed again", func(t *testing.T) {
		r := fleet(t)
		web := r.machine("web")
		r.seal(own, web)
		r.seal(own)
		if got := r.readers(own); got != "alice" {
			t.Errorf("%s read it", got)
		}
		r.seal(own, web)
		if got := r.readers(own); got != "web" || r.read(ownNote) != "" {
			t.Errorf("%s read it", got)
		}
	})
	t.Run("as the flake spells them", func(t *testing.T) {
		r := fleet(t)
		r.opts.Recipients["web"] = []string{sshKey + " me@example", r.keys["alice"].public}
		r.seal(own)
		want := r.keys["alice"].public + "\n" + sshKey + " me@example\n"
		if got := r.read(ownNote); got != want {
			t.Errorf("noted: %q, not %q", got, want)
		}
		if wanted, err := r.open().Wanted(own, nil); err != nil || !slices.Contains(wanted, sshKey) {
			t.Errorf("wanted: %v (%v)", wanted, err)
		}
		if readers, err := Readers(r.open(), own); err != nil || !slices.Contains(readers, sshKey) {
			t.Errorf("readers: %v (%v)", readers, err)
		}
	})
	t.Run("nobody", func(t *testing.T) {
		r := newAgeRepo(t).names("web")
		var nobody *NoRecipientsError
		if _, err := Seal(t.Context(), r.open(), own, nil, nil, testTime); !errors.As(err, &nobody) || nobody.Machine != "web" {
			t.Errorf("got %v", err)
		}
		if _, _, err := EnsureMachineKey(t.Context(), r.open(), "web", testTime); !errors.As(err, &nobody) {
			t.Errorf("got %v", err)
		}
		if _, err := r.open().AdminRecipients(); !errors.Is(err, ErrNoAdmin) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("another machine's", func(t *testing.T) {
		r := fleet(t)
		if _, err := Seal(t.Context(), r.open(), own, nil, []Holder{r.machine("db")}, testTime); err == nil {
			t.Error("it was sealed for db")
		}
	})
	t.Run("a private key in the flake", func(t *testing.T) {
		r := fleet(t)
		private := r.keys["alice"].private
		r.opts.Recipients["web"] = []string{private}
		_, err := Seal(t.Context(), r.open(), own, nil, nil, testTime)
		if err == nil || strings.Contains(err.Error(), private) {
			t.Errorf("got %v", err)
		}
		users, err := r.open().Users()
		if err != nil || slices.ContainsFunc(users, func(h Holder) bool { return h.Name == private }) {
			t.Errorf("users: %v (%v)", users, err)
		}
	})
}

// What a secret is encrypted to is told by a note that fits it.
func TestAgeReaders(t *testing.T) {
	own, shared := Ref{"web", "g", "f", true}, Ref{"", "g", "f", true}
	for _, test := range []struct {
		name    string
		ref     Ref
		to      []string
		note    string // names; "-" means that there is none
		want    string
		isError bool
	}{
		{"noted", shared, []string{"web", "db"}, "web db", "db web", false},
		{"without a note", shared, []string{"web", "db"}, "-", "", false},
		{"an empty note", shared, []string{"web"}, "", "names others than the secret is encrypted to", true},
		{"more than are noted", shared, []string{"web", "db", "eve"}, "web db", "names others than the secret is encrypted to", true},
		{"the machine's own", own, []string{"web"}, "-", "web", false},
		{"not the machine's own alone", own, []string{"web", "eve"}, "-", "", false},
		{"a note from before", own, []string{"web"}, "alice bob", "web", false},
		{"a note of something else", shared, []string{"web"}, "hunter2", "holds, as entry 1, what is no public key", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newAgeRepo(t, "alice", "bob", "eve").names("web", "alice").names("db", "alice")
			r.machine("web")
			r.machine("db")
			var recipients []string
			for _, name := range test.to {
				recipients = append(recipients, r.keys[name].public)
			}
			data, err := sealAge(t.Context(), []byte("value"), recipients)
			if err != nil {
				t.Fatal(err)
			}
			file, err := r.open().Path(test.ref)
			if err != nil {
				t.Fatal(err)
			}
			put(t, r.dir, file, string(data), 0o644)
			if test.note != "-" {
				note := ""
				for name := range strings.FieldsSeq(test.note) {
					line := name
					if pair, ok := r.keys[name]; ok {
						line = pair.public
					}
					note += line + "\n"
				}
				put(t, r.dir, file+".recipients", note, 0o644)
			}
			got := r.readers(test.ref)
			if test.isError != strings.Contains(got, "restore it from git together with the secret") || !strings.Contains(got, test.want) || strings.Contains(got, "hunter2") {
				t.Errorf("read by %q, not %q", got, test.want)
			}
			if !r.opens("alice", test.ref) {
				t.Error("alice cannot open it")
			}
		})
	}
}

// What lies where a secret belongs is refused, and never quoted.
func TestAgeDamaged(t *testing.T) {
	r := newAgeRepo(t, "alice", "bob").names("web", "alice")
	ref := Ref{"web", "g", "f", true}
	r.seal(ref, r.machine("web"))
	file, err := r.open().Path(ref)
	if err != nil {
		t.Fatal(err)
	}
	sealed := r.read(file)
	raw, err := parseAge([]byte(sealed))
	if err != nil {
		t.Fatal(err)
	}
	other, err := sealAge(t.Context(), []byte("value"), []string{r.keys["bob"].public})
	if err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(raw.data)
	flipped[len(flipped)-1] ^= 1
	for name, test := range map[string]struct{ data, want string }{
		"plain":                 {"hunter2\n", "not an age file"},
		"empty":                 {"", "not an age file"},
		"plain in armor":        {"-----BEGIN AGE ENCRYPTED FILE-----\nhunter2\n", "not an age file"},
		"cut off":               {sealed[:len(sealed)/2], "not an age file"},
		"a header only":         {ageMagic + "hunter2\n", "not an age file"},
		"changed":               {string(flipped), "changed after it was encrypted"},
		"for another's machine": {string(other), "cannot be opened with the key of machine web"},
		"not armored":           {string(raw.data), ""},
	} {
		t.Run(name, func(t *testing.T) {
			put(t, r.dir, file, test.data, 0o644)
			plain, err := Open(t.Context(), r.open(), ref, r.keys["alice"].ids)
			switch {
			case test.want == "":
				if string(plain) != "value" || err != nil {
					t.Errorf("%q (%v)", plain, err)
				}
				return
			case err == nil || !strings.Contains(err.Error(), test.want) || !strings.HasPrefix(err.Error(), file+": "):
				t.Errorf("got %v", err)
			case strings.Contains(err.Error(), "hunter2") || plain != nil:
				t.Errorf("it tells too much: %v", err)
			}
			_, err = Readers(r.open(), ref)
			if notAge := test.want == "not an age file"; NotEncrypted(err) != notAge {
				t.Errorf("readers: %v", err)
			}
		})
	}
	if _, err := Open(t.Context(), r.open(), ref, &Identities{}); !errors.Is(err, ErrNoIdentity) {
		t.Errorf("without a key: %v", err)
	}
}

// A machine that gets another key reads what was made for the one before.
func TestAgeRotate(t *testing.T) {
	r := newAgeRepo(t, "alice").names("web", "alice")
	ref := Ref{"web", "g", "f", true}
	r.seal(ref, r.machine("web"))
	layout := r.open()
	_, after, files, err := NewMachineKey(t.Context(), layout, "web", testTime)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Revoke(t.Context(), layout.With(files), ref, after.Recipients(), r.keys["alice"].ids, testTime)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, r.dir, append(files, again...))
	r.keys["web"] = keyPair{public: after.Recipients()[0]}
	if got := r.readers(ref); got != "web" || !r.opens("alice", ref) {
		t.Errorf("read by %s", got)
	}
}

func TestAgeListAndSurvey(t *testing.T) {
	r := newAgeRepo(t, "alice").names("web", "alice")
	r.machine("web")
	put(t, r.dir, "secrets/clan-vars/per-machine/web/a/secret/secret.age", "", 0o644)
	put(t, r.dir, "secrets/clan-vars/per-machine/web/a/secret/secret.age.recipients", "", 0o644)
	put(t, r.dir, "secrets/clan-vars/shared/c/f/f.age", "", 0o644)
	put(t, r.dir, "secrets/clan-vars/shared/c/g/f.age", "", 0o644)
	put(t, r.dir, "secrets/age-keys/machines/gcp-vm/pub", "hunter2", 0o644)
	put(t, r.dir, "secrets/age-keys/users/x", "", 0o644)
	put(t, r.dir, "vars/per-machine/web/a/pub/value", "", 0o644)
	put(t, r.dir, "vars/per-machine/web/a/old/secret", "{}", 0o644)
	put(t, r.dir, "vars/per-machine/web/b/.validation-hash", "abc\n", 0o644)
	put(t, r.dir, "vars/per-machine/old/b/key/value", "", 0o644)
	if err := os.Symlink("../../nowhere", filepath.Join(r.dir, "secrets/clan-vars/shared/link")); err != nil {
		t.Fatal(err)
	}
	layout := r.open()
	refs, err := layout.List()
	if diff := cmp.Diff([]Ref{{"", "c", "f", true}, {"old", "b", "key", false}, {"web", "a", "pub", false}, {"web", "a", "secret", true}}, refs); diff != "" || err != nil {
		t.Errorf("%s (%v)", diff, err)
	}
	if hash, err := layout.Hash("web", "b"); hash != "abc" || err != nil {
		t.Errorf("hash %q (%v)", hash, err)
	}
	generators, err := layout.Generators()
	if diff := cmp.Diff([]Ref{{Generator: "c"}, {Machine: "old", Generator: "b"}, {Machine: "web", Generator: "a"}, {Machine: "web", Generator: "b"}}, generators); diff != "" || err != nil {
		t.Errorf("%s (%v)", diff, err)
	}
	if others, err := layout.Others(); !slices.Equal(others, []Ref{KeyRef("web")}) || err != nil {
		t.Errorf("%v (%v)", others, err)
	}
	if machines, err := layout.Machines(); !slices.Equal(machines, []string{"gcp-vm", "web"}) || err != nil {
		t.Errorf("%v (%v)", machines, err)
	}
	s, err := layout.Survey()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Damaged) != 1 || s.Damaged[0].Path != "secrets/age-keys/machines/gcp-vm/pub" || !strings.Contains(s.Risk, "one key") {
		t.Errorf("damaged: %v, risk: %s", s.Damaged, s.Risk)
	}
	if diff := cmp.Diff([]string{"secrets/clan-vars/shared/link"}, s.Dangling); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"gcp-vm", "old", "web"}, s.Machines); diff != "" {
		t.Error(diff)
	}
	if kind, err := Detect(r.dir); kind != KindAge || err != nil {
		t.Errorf("detected %s (%v)", kind, err)
	}
	files, err := Remove(layout, Ref{"web", "a", "secret", true})
	if len(files) != 2 || !files[0].Gone || !files[1].Gone || err != nil {
		t.Errorf("to remove: %v (%v)", files, err)
	}
}

// Who the administrators are is no matter of files.
func TestAgeAdministrators(t *testing.T) {
	r := newAgeRepo(t, "alice", "bob").names("web", "alice").names("db", "bob")
	r.machine("web")
	layout, public := r.open(), r.keys["bob"].public
	_, addErr := AddUserKey(layout, "bob", public)
	_, _, removeErr := RemoveUserKey(layout, "bob", "")
	_, recoveryErr := SetRecoveryKey(layout, public)
	_, joinErr := JoinGroup(layout, "ops", Member{Name: "bob"})
	for what, err := range map[string]error{"add": addErr, "remove": removeErr, "recovery": recoveryErr, "join": joinErr} {
		if !errors.Is(err, ErrInFlake) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if admins, err := layout.AdminRecipients(); r.whose(admins) != "alice bob" || err != nil {
		t.Errorf("%v (%v)", admins, err)
	}
	// Without the flake they are those who read the keys of machines.
	r.opts = AgeOptions{}
	if admins, err := r.open().AdminRecipients(); r.whose(admins) != "alice" || err != nil {
		t.Errorf("%v (%v)", admins, err)
	}
	if wanted, err := r.open().Wanted(KeyRef("web"), nil); r.whose(wanted) != "alice" || err != nil {
		t.Errorf("%v (%v)", wanted, err)
	}
}

func TestWithAge(t *testing.T) {
	inline, named, file, sops, old := newKeyPair(t), newKeyPair(t), newKeyPair(t), newKeyPair(t), newKeyPair(t)
	home := t.TempDir()
	put(t, home, ".config/age/identities", file.private+"\n", 0o600)
	put(t, home, ".config/sops/age/keys.txt", sops.private+"\n", 0o600)
	put(t, home, ".age/key.txt", old.private+"\n", 0o600)
	env := environment(home, "AGE_KEY="+inline.private, "AGE_KEYFILE="+write(t, "key", []byte(named.private)))
	ids, err := LoadIdentities(t.Context(), env)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(ids.Recipients(), []string{sops.public}) {
		t.Errorf("before: %v", ids.Recipients())
	}
	more, err := ids.WithAge(env)
	if err != nil {
		t.Fatal(err)
	}
	if want := normalizeRecipients([]string{inline.public, named.public, file.public, sops.public, old.public}); !slices.Equal(more.Recipients(), want) {
		t.Errorf("got %v", more.Recipients())
	}
	if len(ids.Recipients()) != 1 {
		t.Error("the identities before were changed")
	}
	for _, broken := range []string{"AGE_KEY=x", "AGE_KEYFILE=/nonexistent"} {
		if _, err := ids.WithAge(environment(home, broken)); err == nil || !strings.Contains(err.Error(), broken[:7]) {
			t.Errorf("%s: %v", broken, err)
		}
	}
}
