package secrets

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/quick"
	"time"

	"github.com/getsops/sops/v3/logging"
)

func TestRoundTrip(t *testing.T) {
	key := newKeyPair(t)
	for name, plain := range contents(t) {
		t.Run(name, func(t *testing.T) {
			if got := decrypt(t, encrypt(t, plain, key.public), key.ids); !bytes.Equal(got, plain) {
				t.Errorf("%d bytes came back for %d", len(got), len(plain))
			}
		})
	}
}

func TestRoundTripOfAnything(t *testing.T) {
	key := newKeyPair(t)
	same := func(plain []byte) bool { return bytes.Equal(decrypt(t, encrypt(t, plain, key.public), key.ids), plain) }
	if err := quick.Check(same, nil); err != nil {
		t.Error(err)
	}
}

// TestEnvelopesDiffer shows that neither key nor nonce is used twice.
func TestEnvelopesDiffer(t *testing.T) {
	key := newKeyPair(t)
	random := regexp.MustCompile(`iv:([^,]*)|tag:([^,]*)`)
	seen := map[string]bool{}
	for range 20 {
		for _, match := range random.FindAllString(string(encrypt(t, []byte("hunter2"), key.public)), -1) {
			if seen[match] {
				t.Fatalf("%s twice", match)
			}
			seen[match] = true
		}
	}
}

// TestOldFiles reads the layouts that older versions of sops wrote, and lists
// their recipients. The fixtures are made with throw-away keys, whose private
// halves lie beside them.
func TestOldFiles(t *testing.T) {
	key, err := os.ReadFile("testdata/envelopes/key.txt")
	if err != nil {
		t.Fatal(err)
	}
	ids, err := ParseIdentities("testdata/envelopes/key.txt", key)
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir("testdata/envelopes")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".sops") {
			continue
		}
		t.Run(file.Name(), func(t *testing.T) {
			envelope, err := os.ReadFile("testdata/envelopes/" + file.Name())
			if err != nil {
				t.Fatal(err)
			}
			want := "hunter2\n"
			if strings.Contains(file.Name(), "empty") {
				want = ""
			}
			if got := decrypt(t, envelope, ids); string(got) != want {
				t.Errorf("read %q", got)
			}
			recipients, err := EnvelopeRecipients(envelope)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(recipients, ids.Recipients()[0]) {
				t.Errorf("recipients: %v", recipients)
			}
			same, err := Rewrap(t.Context(), envelope, recipients, nil)
			if err != nil || !bytes.Equal(same, envelope) {
				t.Errorf("a file whose recipients are right was touched (%v)", err)
			}
			third := newKeyPair(t)
			more, err := Rewrap(t.Context(), envelope, append(recipients, third.public), ids)
			if err != nil {
				t.Fatal(err)
			}
			if got := decrypt(t, more, third.ids); string(got) != want {
				t.Errorf("after a rewrap we read %q", got)
			}
			for _, other := range []string{`"fp"`, `"arn"`, `"resource_id"`, `"vault_url"`, `"vault_address"`} {
				if bytes.Contains(envelope, []byte(other)) != bytes.Contains(more, []byte(other)) {
					t.Errorf("the key with %s was lost", other)
				}
			}
		})
	}
}

func TestTampering(t *testing.T) {
	key := newKeyPair(t)
	envelope := string(encrypt(t, []byte("hunter2"), key.public))
	other := string(encrypt(t, []byte("hunter3"), key.public))
	data := func(text string) string { return regexp.MustCompile(`"data": "([^"]*)"`).FindStringSubmatch(text)[1] }
	mac := func(text string) string { return regexp.MustCompile(`"mac": "([^"]*)"`).FindStringSubmatch(text)[1] }
	replace := func(old, now string) string { return strings.Replace(envelope, old, now, 1) }

	for _, test := range []struct {
		name, envelope string
		want           error
	}{
		{"lastmodified", replace("2026-03-04", "2026-03-05"), ErrMACMismatch},
		{"another file's data", replace(data(envelope), data(other)), ErrMACMismatch},
		{"another file's MAC", replace(mac(envelope), mac(other)), ErrMACMismatch},
		{"data for MAC", replace(mac(envelope), data(envelope)), ErrMACMismatch},
		{"MAC for data", replace(data(envelope), mac(envelope)), ErrMACMismatch},
		{"data emptied", replace(data(envelope), ""), ErrMACMismatch},
		{"MAC emptied", replace(mac(envelope), ""), ErrMACMismatch},
		{"data and MAC emptied", strings.Replace(replace(data(envelope), ""), mac(envelope), "", 1), ErrMACMismatch},
		{"one bit", replace("data:", "data:AAAA"), ErrMACMismatch},
		{"not base64", replace("data:", "data:!"), ErrMACMismatch},
		{"plaintext in its place", replace(data(envelope), "hunter2"), ErrNotSops},
		{"truncated", envelope[:len(envelope)/2], ErrNotSops},
		{"without its end", strings.TrimSuffix(envelope, "}\n"), ErrNotSops},
		{"two", envelope + envelope, ErrNotSops},
		{"MAC only over encrypted values", replace(`"mac"`, `"mac_only_encrypted": true, "mac"`), ErrMACMismatch},
		{"empty", "", ErrNotSops},
		{"plaintext", "hunter2\n", ErrNotSops},
		{"JSON", `{"data": "hunter2"}`, ErrNotSops},
		{"no metadata", `{"data": "hunter2", "sops": {}}`, ErrNotSops},
		{"metadata of another kind", `{"data": "hunter2", "sops": []}`, ErrNotSops},
		{"null", "null", ErrNotSops},
	} {
		t.Run(test.name, func(t *testing.T) {
			plain, err := Decrypt(t.Context(), []byte(test.envelope), key.ids)
			if !errors.Is(err, test.want) {
				t.Errorf("error %v instead of %v", err, test.want)
			}
			if plain != nil {
				t.Error("a plaintext came with the error")
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error quotes the plaintext: %v", err)
			}
			if out, err := Rewrap(t.Context(), []byte(test.envelope), []string{key.public, newKeyPair(t).public}, key.ids); err == nil {
				t.Errorf("a damaged file was encrypted to somebody else:\n%s", out)
			}
		})
	}
}

func TestUnsupported(t *testing.T) {
	key := newKeyPair(t)
	envelope := string(encrypt(t, []byte("hunter2"), key.public))
	age := regexp.MustCompile(`(?s)"age": (\[.*?\]),\n\t\t"last`).FindStringSubmatch(envelope)
	for name, text := range map[string]string{
		"key groups":         strings.Replace(envelope, `"age": `+age[1], `"key_groups": [{"age": `+age[1]+`}, {"age": `+age[1]+`}], "shamir_threshold": 1`, 1),
		"encrypted regex":    strings.Replace(envelope, `"mac"`, `"encrypted_regex": "^nothing$", "mac"`, 1),
		"unencrypted suffix": strings.Replace(envelope, `"mac"`, `"unencrypted_suffix": "data", "mac"`, 1),
		"several values":     strings.Replace(envelope, `"data"`, `"user": "ENC[AES256_GCM,data:x,iv:y,tag:z,type:str]", "data"`, 1),
		"data twice":         strings.Replace(envelope, `"data"`, `"data": "", "data"`, 1),
		"a number":           strings.Replace(envelope, "type:str", "type:int", 1),
		"a comment":          strings.Replace(envelope, "type:str", "type:comment", 1),
		"a MAC of a number":  strings.Replace(envelope, "type:str]\",\n\t\t\"version", "type:int]\",\n\t\t\"version", 1),
		"a tree":             regexp.MustCompile(`"data": "[^"]*"`).ReplaceAllString(envelope, `"data": {"a": "b"}`),
	} {
		t.Run(name, func(t *testing.T) {
			if text == envelope {
				t.Fatal("the test changed nothing")
			}
			_, err := Decrypt(t.Context(), []byte(text), key.ids)
			if unsupported := (*UnsupportedError)(nil); !errors.As(err, &unsupported) {
				t.Errorf("error: %v", err)
			}
		})
	}
}

// TestTypeBytes reads what the library panics on.
func TestTypeBytes(t *testing.T) {
	key := newKeyPair(t)
	envelope := bytes.Replace(encrypt(t, []byte("hunter2"), key.public), []byte("type:str"), []byte("type:bytes"), 2)
	if got := decrypt(t, envelope, key.ids); string(got) != "hunter2" {
		t.Errorf("read %q", got)
	}
}

// TestOneKeyGroup reads a group that is written as one of several.
func TestOneKeyGroup(t *testing.T) {
	key := newKeyPair(t)
	envelope := string(encrypt(t, []byte("hunter2"), key.public))
	age := regexp.MustCompile(`(?s)"age": (\[.*?\]),\n\t\t"last`).FindStringSubmatch(envelope)[1]
	grouped := strings.Replace(envelope, `"age": `+age, `"key_groups": [{"hc_vault": null, "age": `+age+`}]`, 1)
	if got := decrypt(t, []byte(grouped), key.ids); string(got) != "hunter2" {
		t.Errorf("read %q", got)
	}
}

func TestDecryptWithoutTheKey(t *testing.T) {
	owner, other := newKeyPair(t), newKeyPair(t)
	envelope := encrypt(t, []byte("hunter2"), owner.public)
	for _, ids := range []*Identities{nil, {}} {
		if _, err := Decrypt(t.Context(), envelope, ids); !errors.Is(err, ErrNoIdentity) {
			t.Errorf("no identity: %v", err)
		}
	}
	// The library would look for identities on its own account.
	t.Setenv("SOPS_AGE_KEY", owner.private)
	_, err := Decrypt(t.Context(), envelope, other.ids)
	noMatch := (*NoMatchError)(nil)
	if !errors.As(err, &noMatch) {
		t.Fatalf("error: %v", err)
	}
	if !slices.Equal(noMatch.Recipients, []string{owner.public}) || !slices.Equal(noMatch.Own, []string{other.public}) {
		t.Errorf("the error tells %v and %v", noMatch.Recipients, noMatch.Own)
	}
	if _, err := Decrypt(t.Context(), envelope, &Identities{}); err == nil {
		t.Error("an identity was taken from the process environment")
	}
}

func TestRewrap(t *testing.T) {
	admin, first, second := newKeyPair(t), newKeyPair(t), newKeyPair(t)
	before := encrypt(t, []byte("hunter2"), admin.public, first.public)

	same, err := Rewrap(t.Context(), before, []string{first.public, admin.public, first.public}, nil)
	if err != nil || !bytes.Equal(same, before) {
		t.Errorf("the recipients were right, but the file changed (%v)", err)
	}
	after, err := Rewrap(t.Context(), before, []string{admin.public, second.public}, admin.ids)
	if err != nil {
		t.Fatal(err)
	}
	recipients, err := EnvelopeRecipients(after)
	if err != nil || !SameRecipients(recipients, []string{admin.public, second.public}) {
		t.Errorf("recipients: %v (%v)", recipients, err)
	}
	if got := decrypt(t, after, second.ids); string(got) != "hunter2" {
		t.Errorf("the new recipient reads %q", got)
	}
	if _, err := Decrypt(t.Context(), after, first.ids); err == nil {
		t.Error("the old recipient still reads")
	}
	var x, y map[string]any
	if err := errors.Join(json.Unmarshal(before, &x), json.Unmarshal(after, &y)); err != nil {
		t.Fatal(err)
	}
	if x["data"] != y["data"] {
		t.Error("the content was encrypted anew")
	}
	if _, err := Rewrap(t.Context(), before, nil, admin.ids); err == nil {
		t.Error("a file for nobody was written")
	}
}

func TestEncryptErrors(t *testing.T) {
	key := newKeyPair(t)
	for name, recipients := range map[string][]string{
		"nobody":        nil,
		"empty":         {""},
		"no key":        {key.public, "cameron"},
		"mistyped":      {key.public[:len(key.public)-1] + "b"},
		"a private key": {key.private},
	} {
		_, err := Encrypt(t.Context(), []byte("hunter2"), recipients, testTime)
		if err == nil {
			t.Errorf("%s: no error", name)
		} else if strings.Contains(err.Error(), key.private) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error holds a secret: %v", name, err)
		}
	}
}

// TestLibraryIsSilent listens to every logger of the library: they write to the
// standard error of the process.
func TestLibraryIsSilent(t *testing.T) {
	var log bytes.Buffer
	for _, logger := range logging.Loggers {
		before := logger.Out
		logger.Out = &log
		t.Cleanup(func() { logger.Out = before })
	}
	key, other := newKeyPair(t), newKeyPair(t)
	envelope := encrypt(t, []byte("hunter2"), key.public)
	decrypt(t, envelope, key.ids)
	for _, ids := range []*Identities{nil, other.ids} {
		if _, err := Decrypt(t.Context(), envelope, ids); err == nil {
			t.Error("it was decrypted")
		}
	}
	if _, err := Decrypt(t.Context(), bytes.Replace(envelope, []byte("iv:"), []byte("iv:AAAA"), 1), key.ids); err == nil {
		t.Error("it was decrypted")
	}
	if _, err := Rewrap(t.Context(), envelope, []string{key.public, other.public}, key.ids); err != nil {
		t.Error(err)
	}
	if len(logging.Loggers) == 0 || log.Len() > 0 {
		t.Errorf("%d loggers wrote %q", len(logging.Loggers), log.String())
	}
}

// TestTimeIsWrittenInUTC holds because the MAC is bound to the text of the time.
func TestTimeIsWrittenInUTC(t *testing.T) {
	key := newKeyPair(t)
	now := testTime.Add(123 * time.Millisecond).In(time.FixedZone("far east", 14*3600))
	envelope, err := Encrypt(t.Context(), []byte("hunter2"), []string{key.public}, now)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(envelope, []byte(`"lastmodified": "2026-03-04T05:06:07Z"`)) {
		t.Errorf("%s", envelope)
	}
	decrypt(t, envelope, key.ids)
}
