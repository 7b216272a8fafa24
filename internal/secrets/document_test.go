package secrets

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// documents are plain files of every format that sops has.
var documents = map[string]string{
	"secrets.yaml": `# The head.
password: hunter2 # behind it
nested:
    # of the list
    list:
        - one # first
        - 2
        - true
        - 1.5
    plain_unencrypted: visible
    date_unencrypted: 2026-01-02T03:04:05+02:00
empty: ""
"no": null
umlaut: Grüße 🔑
text: |
    a
    b
# the end
`,
	"two.yml":      "a: 1\n---\nb: two\n# end\n",
	"secrets.json": "{\n\t\"b\": \"two\",\n\t\"a\": [1, {\"c\": null}, 9007199254740993],\n\t\"x_unencrypted\": \"visible\"\n}\n",
	"app.env":      "# comment\nB=two\nA=one=1\nTEXT=a\\nb\nEMPTY=\n",
	"app.ini":      "; about it\n[first]\n; of b\nb = two\na = 1\n\n[second]\nc = three\n",
	"key.enc":      "AGE-SECRET-KEY-like\x00\xff",
	"noname":       "",
}

// sealDocument lets the sops program encrypt a plain file into a new folder
// with a .sops.yaml for the recipients.
func sealDocument(t testing.TB, name, plain string, recipients ...string) (file string, data []byte) {
	t.Helper()
	file = write(t, name, []byte(plain))
	setRules(t, file, recipients...)
	data = run(t, nil, nil, program(t, "sops"), "--config", rulesFileOf(file), "encrypt", file)
	replaceFile(t, file, data)
	return file, data
}

func rulesFileOf(file string) string { return filepath.Join(filepath.Dir(file), ".sops.yaml") }

func setRules(t testing.TB, file string, recipients ...string) {
	t.Helper()
	replaceFile(t, rulesFileOf(file), []byte("creation_rules:\n  - age: "+strings.Join(recipients, ",")+"\n"))
}

func replaceFile(t testing.TB, file string, data []byte) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func document(t testing.TB, name string, data []byte) *Document {
	t.Helper()
	d, err := ParseDocument(name, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// agrees lets the sops program read a file and look whether it would change
// whom it is encrypted to.
func agrees(t *testing.T, key keyPair, file string, data, plain []byte) {
	t.Helper()
	replaceFile(t, file, data)
	sops, env := program(t, "sops"), []string{"SOPS_AGE_KEY=" + key.private}
	if got := run(t, env, nil, sops, "decrypt", file); !bytes.Equal(got, plain) {
		t.Errorf("sops reads:\n%q\nfor\n%q", got, plain)
	}
	run(t, env, nil, sops, "--config", rulesFileOf(file), "updatekeys", "--yes", file)
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(after, data) {
		t.Errorf("sops updatekeys changes our file:\n%s\nto\n%s", data, after)
	}
}

// TestDocumentsOfTheProgram adds and removes readers of the files of the sops
// program, which reads what comes out and has nothing to add.
func TestDocumentsOfTheProgram(t *testing.T) {
	for name, plain := range documents {
		t.Run(name, func(t *testing.T) {
			admin, old, added := newKeyPair(t), newKeyPair(t), newKeyPair(t)
			file, sealed := sealDocument(t, name, plain, admin.public, old.public)
			if !IsDocument(sealed) {
				t.Error("not recognised")
			}
			d := document(t, name, sealed)
			if !SameRecipients(d.Recipients(), []string{old.public, admin.public}) || len(d.Others()) > 0 {
				t.Errorf("recipients: %v %v", d.Recipients(), d.Others())
			}
			decrypted := run(t, []string{"SOPS_AGE_KEY=" + admin.private}, nil, program(t, "sops"), "decrypt", file)

			same, err := d.Rewrap(t.Context(), []string{old.public, admin.public}, nil)
			if err != nil || !bytes.Equal(same, sealed) {
				t.Errorf("nothing to do: %v", err)
			}
			more, err := d.Rewrap(t.Context(), []string{admin.public, old.public, added.public}, admin.ids)
			if err != nil {
				t.Fatal(err)
			}
			setRules(t, file, admin.public, old.public, added.public)
			agrees(t, added, file, more, decrypted)
			if name != "noname" && !sameBut(sealed, more, added.public) {
				t.Errorf("more than the recipients was changed:\n%s\nto\n%s", sealed, more)
			}

			d = document(t, name, more)
			fewer, err := d.Reencrypt(t.Context(), []string{added.public, admin.public}, admin.ids, testTime)
			if err != nil {
				t.Fatal(err)
			}
			setRules(t, file, admin.public, added.public)
			agrees(t, added, file, fewer, decrypted)
			if err := document(t, name, fewer).Verify(t.Context(), old.ids); !errors.As(err, new(*NoMatchError)) {
				t.Errorf("who was removed: %v", err)
			}
			dataKey, err := unwrapDataKey(t.Context(), ageKeys(d.tree), old.ids)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := document(t, name, fewer).openWith(dataKey); !errors.Is(err, ErrMACMismatch) {
				t.Errorf("with the old data key: %v", err)
			}
		})
	}
}

// sameBut tells whether two files have the same lines but for those of a new
// recipient.
func sameBut(before, after []byte, public string) bool {
	if bytes.HasPrefix(before, []byte("{")) {
		before, after = bytes.ReplaceAll(before, []byte("},"), []byte("}")), bytes.ReplaceAll(after, []byte("},"), []byte("}"))
	}
	lines := map[string]int{}
	for line := range strings.Lines(string(after)) {
		lines[line]++
	}
	for line := range strings.Lines(string(before)) {
		if lines[line]--; lines[line] < 0 {
			return false
		}
	}
	return bytes.Contains(after, []byte(public)) && !bytes.Contains(before, []byte(public))
}

// The layout that a .sops.yaml asks for stays, as with sops updatekeys.
func TestDocumentIndentation(t *testing.T) {
	admin, added := newKeyPair(t), newKeyPair(t)
	for name, plain := range map[string]string{"a.yaml": "a:\n  b: 1\n", "a.json": `{"a": {"b": 1}}`} {
		file := write(t, name, []byte(plain))
		text := fmt.Sprintf("creation_rules:\n- age: [%s, %s]\nstores:\n  yaml: {indent: 2}\n  json: {indent: 3}\n", admin.public, added.public)
		replaceFile(t, rulesFileOf(file), []byte(text))
		sops, env := program(t, "sops"), []string{"SOPS_AGE_KEY=" + admin.private}
		sealed := run(t, nil, nil, sops, "--config", rulesFileOf(file), "encrypt", "--age", admin.public, file)
		rules := mustRules(t, text)
		d, err := ParseDocument(name, sealed, rules)
		if err != nil {
			t.Fatal(err)
		}
		ours, err := d.Rewrap(t.Context(), []string{admin.public, added.public}, admin.ids)
		if err != nil {
			t.Fatal(err)
		}
		replaceFile(t, file, sealed)
		run(t, env, nil, sops, "--config", rulesFileOf(file), "updatekeys", "--yes", file)
		theirs, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		masked := regexp.MustCompile(`[A-Za-z0-9+/=]{40,}`)
		if got, want := masked.ReplaceAllString(string(ours), ""), masked.ReplaceAllString(string(theirs), ""); len(got) != len(want) {
			t.Errorf("ours:\n%s\ntheirs:\n%s", ours, theirs)
		}
	}
}

// PGP entries stay where they are, and keep the file from getting a new data key.
func TestDocumentWithOtherKeys(t *testing.T) {
	admin, added := newKeyPair(t), newKeyPair(t)
	_, sealed := sealDocument(t, "a.yaml", "a: 1\n", admin.public)
	const pgp = "    pgp:\n        - created_at: \"2026-01-01T00:00:00Z\"\n          enc: |-\n            -----BEGIN PGP MESSAGE-----\n            x\n            -----END PGP MESSAGE-----\n          fp: FBC7B9E2A4F9289AC0C1D4843D16CEE4A27281B4\n"
	mixed := bytes.Replace(sealed, []byte("    unencrypted_suffix"), []byte(pgp+"    unencrypted_suffix"), 1)
	d := document(t, "a.yaml", mixed)
	if others := d.Others(); len(others) != 1 || others[0] != "FBC7B9E2A4F9289AC0C1D4843D16CEE4A27281B4" {
		t.Errorf("got %v", others)
	}
	data, err := d.Rewrap(t.Context(), []string{added.public}, admin.ids)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(data, []byte(pgp)) || bytes.Contains(data, []byte(admin.public)) {
		t.Errorf("got:\n%s", data)
	}
	if err := document(t, "a.yaml", data).Verify(t.Context(), added.ids); err != nil {
		t.Error(err)
	}
	if _, err := d.Reencrypt(t.Context(), []string{added.public}, admin.ids, testTime); !errors.Is(err, errOtherKeys) {
		t.Errorf("got %v", err)
	}
}

// Files that were tampered with are given to nobody, and no error says what is
// in them.
func TestDocumentRefuses(t *testing.T) {
	admin, added := newKeyPair(t), newKeyPair(t)
	_, sealed := sealDocument(t, "a.yaml", "a: hunter2\nb: other\nc_unencrypted: visible\n", admin.public)
	replace := func(old, text string) []byte {
		if !bytes.Contains(sealed, []byte(old)) {
			t.Fatalf("there is no %q in\n%s", old, sealed)
		}
		return bytes.Replace(sealed, []byte(old), []byte(text), 1)
	}
	swapped := regexp.MustCompile(`(?m)^(a|b): (.*)$`).FindAllSubmatch(sealed, 2)
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"plain":               {[]byte("a: hunter2\nsops: 1\n"), "not a sops file"},
		"cut off":             {sealed[:len(sealed)*2/3], "not a sops file"},
		"values swapped":      {bytes.Replace(replace(string(swapped[0][2]), "X"), swapped[1][2], swapped[0][2], 1), "was changed"},
		"a value in plain":    {replace(string(swapped[0][2]), "hunter2"), "was changed"},
		"a plain value":       {replace("visible", "hunter2"), "was changed"},
		"one more":            {append([]byte("new: hunter2\n"), sealed...), "was changed"},
		"a bomb":              {append([]byte("x: &x [a]\ny: [*x, *x]\n"), sealed...), "YAML aliases"},
		"itself":              {append([]byte("x: 1\n---\ny: &y [*y]\n---\n"), sealed...), "YAML aliases"},
		"another merge":       {append([]byte("<<<<<<< hunter2\n"), sealed...), "not a sops file"},
		"several key groups":  {replace("    age:\n", "    shamir_threshold: 2\n    key_groups:\n        - age: []\n        - age: []\n    agee:\n"), "several key groups"},
		"a comment like evil": {append([]byte("# evil\nevil: evil\n"), sealed...), "was changed"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := ParseDocument("a.yaml", tt.data, nil)
			if err == nil {
				_, err = d.Rewrap(t.Context(), []string{admin.public, added.public}, admin.ids)
				if _, err2 := d.Reencrypt(t.Context(), []string{admin.public}, admin.ids, testTime); err2 == nil {
					t.Error("encrypted anew")
				}
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A suffix that the sops program does not know, and one that lies.
func TestDocumentFormat(t *testing.T) {
	admin := newKeyPair(t)
	for name, plain := range documents {
		_, sealed := sealDocument(t, name, plain, admin.public)
		for _, other := range []string{"x.enc", "x", "x.sops", "x.ini", "x.env", "x.json"} {
			d, err := ParseDocument(other, sealed, nil)
			if err != nil {
				t.Errorf("%s as %s: %v", name, other, err)
				continue
			}
			if err := d.Verify(t.Context(), admin.ids); err != nil {
				t.Errorf("%s as %s: %v", name, other, err)
			}
		}
	}
	for _, text := range []string{
		"", "{}", "just text", "# about sops\nsops: is a program\n", "sops_mac=1", "[sops]\n",
		"```yaml\nsops:\n    mac: ENC[AES256_GCM,data:x,iv:x,tag:x,type:str]\n```\n",
		`{"sops": "ENC[AES256_GCM,"}`,
	} {
		for _, name := range []string{"a.md", "a.yaml", "a.json", "a.env", "a.ini"} {
			if _, err := ParseDocument(name, []byte(text), nil); !errors.Is(err, ErrNotSops) {
				t.Errorf("%s %q: %v", name, text, err)
			}
		}
	}
}

// A file of an old sops: values of the type bytes, comments in plain, no suffix.
func TestDocumentOfOldSops(t *testing.T) {
	admin, added := newKeyPair(t), newKeyPair(t)
	_, sealed := sealDocument(t, "a.yaml", "a: hunter2\nb: 1\n", admin.public)
	old := bytes.Replace(sealed, []byte("type:str]"), []byte("type:bytes]"), 1)
	old = bytes.Replace(old, []byte("    unencrypted_suffix: _unencrypted\n"), nil, 1)
	old = bytes.Replace(old, []byte("b: ENC"), []byte("# in plain\nb: ENC"), 1)
	d := document(t, "a.yaml", old)
	more, err := d.Rewrap(t.Context(), []string{admin.public, added.public}, admin.ids)
	if err != nil {
		t.Fatal(err)
	}
	if !sameBut(old, more, added.public) {
		t.Errorf("%s\nbecame\n%s", old, more)
	}
	data, err := d.Reencrypt(t.Context(), []string{added.public}, admin.ids, testTime.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	got := run(t, []string{"SOPS_AGE_KEY=" + added.private}, nil, program(t, "sops"), "decrypt", write(t, "a.yaml", data))
	if string(got) != "a: hunter2\n# in plain\nb: 1\n" {
		t.Errorf("got %q", got)
	}
}
