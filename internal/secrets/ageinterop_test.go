package secrets

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What clan does with the age program fleet reads, and the reverse.
func TestAgeStoreWithAgeProgram(t *testing.T) {
	age, keygen := program(t, "age"), filepath.Join(t.TempDir(), "age-keygen")
	if out, err := exec.Command("go", "build", "-o", keygen, "filippo.io/age/cmd/age-keygen").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r := newAgeRepo(t, "alice", "bob").names("web", "alice", "bob")
	identity := write(t, "alice", []byte(r.keys["alice"].private+"\n"))

	// As clan makes the key of a machine.
	private := run(t, nil, nil, keygen)
	_, announced, _ := strings.Cut(string(private), "# public key: ")
	public, _, _ := strings.Cut(announced, "\n")
	sealed := run(t, nil, private, age, "--armor", "-r", r.keys["alice"].public, "-r", r.keys["bob"].public)
	put(t, r.dir, "secrets/age-keys/machines/web/pub", public, 0o644)
	put(t, r.dir, "secrets/age-keys/machines/web/key.age", string(sealed), 0o644)
	put(t, r.dir, "secrets/age-keys/machines/web/key.age.recipients", r.keys["alice"].public+"\n"+r.keys["bob"].public+"\n", 0o644)
	r.keys["web"] = keyPair{public: public}
	if got := r.readers(KeyRef("web")); got != "alice bob" {
		t.Errorf("its key is read by %s", got)
	}
	layout := r.open()
	key, err := MachinePrivateKey(t.Context(), layout, "web", r.keys["bob"].ids)
	if err != nil {
		t.Fatal(err)
	}
	if string(key)+"\n" != string(private) {
		t.Error("the machine gets another key file from fleet than from clan")
	}

	for name, plain := range contents(t) {
		t.Run(name, func(t *testing.T) {
			ref := Ref{"web", "g", "f", true}
			theirs := run(t, nil, plain, age, "--armor", "-r", public)
			put(t, r.dir, "secrets/clan-vars/per-machine/web/g/f/f.age", string(theirs), 0o644)
			got, err := Open(t.Context(), layout, ref, r.keys["alice"].ids)
			if !bytes.Equal(got, plain) || err != nil {
				t.Errorf("we read theirs otherwise than it was: %d bytes for %d (%v)", len(got), len(plain), err)
			}
			files, err := Seal(t.Context(), layout, ref, plain, []Holder{{Name: "web", Keys: []Key{{public, "age"}}}}, testTime)
			if err != nil {
				t.Fatal(err)
			}
			apply(t, r.dir, files)
			// As the activation of the machine does.
			ours := filepath.Join(r.dir, "secrets/clan-vars/per-machine/web/g/f/f.age")
			if got := run(t, nil, nil, age, "--decrypt", "-i", write(t, "key.txt", append(key, '\n')), ours); !bytes.Equal(got, plain) {
				t.Errorf("age reads ours otherwise than it was: %d bytes for %d", len(got), len(plain))
			}
		})
	}

	// The key of a machine that fleet makes.
	r.names("db", "alice")
	r.machine("db")
	ours := filepath.Join(r.dir, "secrets/age-keys/machines/db/key.age")
	opened := run(t, nil, nil, age, "--decrypt", "-i", identity, ours)
	if got := strings.TrimSpace(string(run(t, nil, opened, keygen, "-y"))); got != r.read("secrets/age-keys/machines/db/pub") {
		t.Errorf("age-keygen says it is %s", got)
	}
	if header, _, _ := strings.Cut(r.read("secrets/age-keys/machines/db/key.age"), "\n"); header != "-----BEGIN AGE ENCRYPTED FILE-----" || !strings.HasSuffix(r.read("secrets/age-keys/machines/db/key.age"), "-----END AGE ENCRYPTED FILE-----\n") {
		t.Error("it is not armored")
	}
}
