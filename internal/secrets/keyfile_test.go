package secrets

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	aliceKey = "age1v3umfx80wseytgspner67446gh7jd6mekj0d4yr30sm087agt48stewmsa"
	sshKey   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILrtBhaL0PNczhwZFPK5VvX3UbY3X+gJu0xmxIDQfAUs"
)

func TestParseKeys(t *testing.T) {
	for _, test := range []struct {
		name, in string
		want     []Key
		bad      string
	}{
		{name: "list", in: `[{"publickey": "` + aliceKey + `", "type": "age"}]`, want: []Key{{aliceKey, "age"}}},
		{name: "two", in: `[{"publickey": "` + aliceKey + `", "type": "age"}, {"publickey": "0123ABCD", "type": "pgp"}]`, want: []Key{{aliceKey, "age"}, {"0123ABCD", "pgp"}}},
		{name: "bare object", in: `{"publickey": "` + aliceKey + `", "type": "age"}`, want: []Key{{aliceKey, "age"}}},
		{name: "plain", in: aliceKey + "\n", want: []Key{{aliceKey, "age"}}},
		{name: "ssh", in: sshKey + " me@example\n", want: []Key{{sshKey + " me@example", "age"}}},
		{name: "no type", in: `{"publickey": "` + aliceKey + `"}`, want: []Key{{aliceKey, "age"}}},
		{name: "empty", in: " \n", bad: "no key"},
		{name: "empty list", in: "[]", bad: "no key"},
		{name: "empty object", in: "{}", bad: "no age public key"},
		{name: "cut off", in: `[{"publickey": "` + aliceKey, bad: "not a list of keys"},
		{name: "two values", in: `[] []`, bad: "not a list of keys"},
		{name: "other type", in: `{"publickey": "x", "type": "rot13"}`, bad: "rot13"},
		{name: "mistyped", in: `{"publickey": "` + strings.Replace(aliceKey, "v3", "v4", 1) + `"}`, bad: "not a complete age public key"},
		{name: "several recipients in one", in: `{"publickey": "` + aliceKey + "," + aliceKey + `"}`, bad: "not a complete age public key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseKeys([]byte(test.in))
			if test.bad != "" {
				if err == nil || !strings.Contains(err.Error(), test.bad) {
					t.Errorf("error: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPrivateKeyInKeyFile(t *testing.T) {
	key := newKeyPair(t)
	_, err := ParseKeys([]byte(key.private))
	if err == nil || strings.Contains(err.Error(), key.private[20:]) {
		t.Errorf("error: %v", err)
	}
}

func TestFormatKeys(t *testing.T) {
	got, err := FormatKeys([]Key{{sshKey, "age"}, {aliceKey, "age"}, {sshKey, "age"}})
	if err != nil {
		t.Fatal(err)
	}
	want := `[
  {
    "publickey": "` + aliceKey + `",
    "type": "age"
  },
  {
    "publickey": "` + sshKey + `",
    "type": "age"
  }
]`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	if _, err := FormatKeys(nil); err == nil {
		t.Error("an empty key.json was written")
	}
}

func TestSameRecipients(t *testing.T) {
	if !SameRecipients([]string{sshKey + " me@example", aliceKey}, []string{aliceKey, " " + sshKey, aliceKey}) {
		t.Error("order, doubles and comments count")
	}
	if SameRecipients([]string{aliceKey}, []string{aliceKey, sshKey}) {
		t.Error("a missing one does not count")
	}
}
