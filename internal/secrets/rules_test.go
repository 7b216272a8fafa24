package secrets

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/getsops/sops/v3/config"
	"github.com/google/go-cmp/cmp"
)

// Keys of rules; who has them does not matter.
const (
	bobKey     = "age174na9z30fz7mzzkhweg9q79vqlx80k9tlnqzmnm6ha0x2gvngdfqa8tg8c"
	machineKey = "age1mflutadwgvxg630f2s76da5krhjnhwkqmxfmt8wjkszjhlx55y7svsjp7y"
)

// rulesOfAFleet has what the files of real fleets have: named keys in sections
// with comments, several rules in first-match order, aliases and bare keys.
const rulesOfAFleet = `# Who reads what.
keys:
  # people
  - &alice ` + aliceKey + ` # from her ssh key
  - &bob ` + bobKey + `

  # machines
  - &web ` + machineKey + `

creation_rules:
  - path_regex: secrets/bridge/.*
    key_groups:
      - age:
          - *alice # always
          - *web
  - path_regex: secrets/users/bob/.*\.yaml$
    key_groups:
      - age: [*bob]
  - path_regex: ^secrets/hosts/web/
    age: >-
      ` + aliceKey + `,
      ` + machineKey + `
    pgp: FBC7 B9E2 A4F9 289A C0C1 D484 3D16 CEE4 A272 81B4
  - path_regex: secrets/shared/.*
    key_groups:
      - age: [*alice, *bob, *web]
  - path_regex: \.enc\.yaml$
    age: [ "` + bobKey + `", ` + aliceKey + ` ]
  - path_regex: .*\.yaml$
    age: ` + aliceKey + `,` + bobKey + `
`

func mustRules(t testing.TB, text string) *Rules {
	t.Helper()
	r, err := ParseRules([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRulesFor(t *testing.T) {
	r := mustRules(t, rulesOfAFleet)
	for path, want := range map[string][]string{
		"secrets/bridge/bob-age-key.enc":   {aliceKey, machineKey},
		"secrets/users/bob/signing.yaml":   {bobKey},
		"secrets/hosts/web/wifi.yaml":      {aliceKey, machineKey},
		"old/secrets/hosts/web/wifi.yaml":  {aliceKey, bobKey}, // by the last rule
		"secrets/shared/db.json":           {aliceKey, bobKey, machineKey},
		"clusters/local/argocd.enc.yaml":   {aliceKey, bobKey},
		"secrets/test.yaml":                {aliceKey, bobKey},
		"old/secrets/bridge/deep/down.env": {aliceKey, machineKey},
	} {
		rule, err := r.For(path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if !SameRecipients(rule.Recipients(), want) {
			t.Errorf("%s: got the rule in line %d: %v", path, rule.Line, rule.Recipients())
		}
		if got, want := rule.General(), strings.HasPrefix(rule.Pattern, ".*"); got != want {
			t.Errorf("%s: general %v", rule.Pattern, got)
		}
	}
	if _, err := r.For("secrets/hosts/db/wifi.json"); !errors.Is(err, ErrNoRule) {
		t.Errorf("got %v", err)
	}
	rule, err := r.For("secrets/hosts/web/x")
	if err != nil || rule.Line != 19 || cmp.Diff(rule.Others(), []string{"FBC7B9E2A4F9289AC0C1D4843D16CEE4A27281B4"}) != "" {
		t.Errorf("got %+v, %v", rule, err)
	}
	want := []Anchor{{"alice", aliceKey, 4, 1}, {"bob", bobKey, 5, 1}, {"web", machineKey, 8, 2}}
	if diff := cmp.Diff(want, r.Anchors()); diff != "" {
		t.Error(diff)
	}
}

// TestRulesOfTheLibrary reads many files as sops' library does: it gives the
// same keys for the same paths, or both refuse.
func TestRulesOfTheLibrary(t *testing.T) {
	paths := []string{"a", "a.yaml", "secrets/a.yaml", "secrets/bridge/x.enc", "secrets/users/bob/k.yaml", "secrets/hosts/web/w", "deep/secrets/shared/x.json", "x.enc.yaml"}
	for name, text := range map[string]string{
		"a fleet":               rulesOfAFleet,
		"empty":                 "",
		"no rules":              "keys: [a]\n",
		"a rule for all":        "creation_rules:\n  - age: " + aliceKey + "\n",
		"a list":                "creation_rules:\n  - age: [" + aliceKey + ", '" + bobKey + "']\n",
		"commas in a list":      "creation_rules:\n  - age: ['" + aliceKey + ", " + bobKey + "']\n",
		"a trailing comma":      "creation_rules:\n  - age: " + aliceKey + ",\n",
		"an ssh key":            "creation_rules:\n  - age: " + sshKey + " me@host\n",
		"kms and pgp":           "creation_rules:\n  - age: " + aliceKey + "\n    pgp: [A0 B1, C2D3]\n    kms: arn:aws:kms:a:1:key/x+arn:aws:iam::1:role/y\n    gcp_kms: projects/a/b\n    hc_vault_transit_uri: https://v:8200/v1/transit/keys/k\n",
		"groups":                "creation_rules:\n  - key_groups:\n      - age: [" + aliceKey + "]\n        pgp: [A0B1]\n        kms: [{arn: arn:x, role: arn:r}]\n      - merge:\n          - age: [" + bobKey + "]\n        gcp_kms: [{resource_id: p/r}]\n        hc_vault: ['https://v:8200/v1/transit/keys/k']\n",
		"a merged rule":         "a: &a\n  age: " + aliceKey + "\ncreation_rules:\n  - <<: *a\n    path_regex: secrets/\n",
		"an alias to a list":    "k: &k [" + aliceKey + ", " + bobKey + "]\ncreation_rules:\n  - age: *k\n  - path_regex: x\n",
		"an alias to all rules": "k: &k [{age: " + aliceKey + "}]\ncreation_rules: *k\n",
		"a bad pattern":         "creation_rules:\n  - path_regex: secrets/bridge\n    age: " + aliceKey + "\n  - path_regex: '('\n    age: " + bobKey + "\n",
		"a bad key":             "creation_rules:\n  - path_regex: ^a$\n    age: age1x\n  - age: " + bobKey + "\n",
		"a number":              "creation_rules:\n  - path_regex: ^a$\n    age: 1\n  - age: " + bobKey + "\n",
		"a list with a number":  "creation_rules:\n  - age: [1]\n",
		"two settings":          "creation_rules:\n  - age: " + aliceKey + "\n    encrypted_regex: a\n    unencrypted_suffix: b\n",
		"no YAML":               "creation_rules: [",
		"a text":                "hello",
		"itself":                "creation_rules: &a [*a]\n",
		"a key twice":           "creation_rules: []\ncreation_rules: []\n",
		"two documents":         "creation_rules: [{age: " + aliceKey + "}]\n---\ncreation_rules: []\n",
		"destination rules":     "destination_rules:\n  - recreation_rule: {age: " + bobKey + "}\ncreation_rules:\n  - age: " + aliceKey + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, ".sops.yaml", []byte(text))
			rules, parseErr := ParseRules([]byte(text))
			for _, path := range paths {
				theirs, theirErr := config.LoadCreationRuleForFile(file, filepath.Join(filepath.Dir(file), path), nil)
				var ours *Rule
				err := parseErr
				if err == nil {
					ours, err = rules.For(path)
				}
				if theirs == nil && theirErr == nil { // the library: as if there were no file
					theirErr = ErrNoRule
				}
				if (err == nil) != (theirErr == nil) {
					t.Fatalf("%s: we say %v, sops says %v", path, err, theirErr)
				}
				if err != nil {
					continue
				}
				var age, other []string
				for _, group := range theirs.KeyGroups {
					for _, key := range group {
						if key.TypeToIdentifier() == "age" {
							age = append(age, key.ToString())
						} else {
							other = append(other, key.ToString())
						}
					}
				}
				if len(theirs.KeyGroups) != len(ours.Groups) || !SameRecipients(age, ours.Recipients()) || !SameRecipients(other, ours.Others()) {
					t.Errorf("%s: we read %+v, sops reads %v %v", path, ours.Groups, age, other)
				}
			}
		})
	}
}

func TestReplaceInRules(t *testing.T) {
	r := mustRules(t, rulesOfAFleet)
	done, err := r.Replace(machineKey, bobKey)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.ReplaceAll(rulesOfAFleet, machineKey, bobKey); string(done.Bytes()) != want {
		t.Errorf("(-want +got):\n%s", cmp.Diff(want, string(done.Bytes())))
	}
	if done.Has(machineKey) || !r.Has(machineKey) {
		t.Error("the wrong one was changed")
	}
	same, err := r.Replace("age1absent", bobKey)
	if err != nil || same != r {
		t.Errorf("got %v, %v", same, err)
	}
	if _, err := r.Replace(aliceKey, "AGE-SECRET-KEY-1"); err == nil || !strings.Contains(err.Error(), "private key") {
		t.Errorf("got %v", err)
	}
}

func TestAddToRules(t *testing.T) {
	r := mustRules(t, rulesOfAFleet)
	carol := newKeyPair(t).public
	done, err := r.AddBeside(bobKey, carol)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer(
		"  - &bob "+bobKey+"\n", "  - &bob "+bobKey+"\n  - &bob-2 "+carol+"\n",
		"[*bob]", "[*bob, *bob-2]",
		"*bob, *web", "*bob, *bob-2, *web",
		`"`+bobKey+`"`, `"`+bobKey+`", `+carol,
		aliceKey+","+bobKey, aliceKey+","+bobKey+","+carol,
	).Replace(rulesOfAFleet)
	if diff := cmp.Diff(want, string(done.Bytes())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	again, err := done.AddBeside(bobKey, carol)
	if err != nil || again != done {
		t.Errorf("again: %v", err)
	}
}

func TestRemoveFromRules(t *testing.T) {
	r := mustRules(t, rulesOfAFleet)
	done, kept, err := r.Remove(bobKey)
	if err != nil {
		t.Fatal(err)
	}
	if len(kept) != 1 || kept[0].Line != 16 {
		t.Errorf("kept %+v", kept)
	}
	// His own rule would encrypt to nobody without him, so it keeps him.
	want := strings.NewReplacer(
		"[*alice, *bob, *web]", "[*alice, *web]",
		`[ "`+bobKey+`", `, "[ ",
		aliceKey+","+bobKey, aliceKey,
	).Replace(rulesOfAFleet)
	if diff := cmp.Diff(want, string(done.Bytes())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	done, kept, err = r.Remove(machineKey)
	if err != nil || len(kept) > 0 {
		t.Fatal(err, kept)
	}
	want = strings.NewReplacer(
		"  - &web "+machineKey+"\n", "",
		"          - *web\n", "",
		"*bob, *web", "*bob",
		",\n      "+machineKey, "",
	).Replace(rulesOfAFleet)
	if diff := cmp.Diff(want, string(done.Bytes())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// layouts are the ways in which people write the same thing.
var layouts = []string{
	"creation_rules:\n  - age: KEY\n",
	"creation_rules:\n  - age: KEY,OTHER",
	"creation_rules:\n  - age: OTHER, KEY\n",
	"creation_rules:\n  - age: \"KEY,OTHER\"\n    path_regex: x\n",
	"creation_rules:\n  - age: >-\n      OTHER,\n      KEY,\n\n",
	"creation_rules:\n- age:\n  - KEY",
	"creation_rules:\r\n- age:\r\n  - KEY # me\r\n  - OTHER\r\n",
	"creation_rules:\n- age:\n  - 'KEY'\n  - \"OTHER\"\n",
	"creation_rules: [{age: [KEY, OTHER]}]\n",
	"creation_rules:\n- age: [\n    OTHER,\n    KEY,\n  ]\n",
	"\ufeffkeys: [&me KEY]\ncreation_rules:\n- age: [*me, OTHER]\n",
	"# Ärger 🔑\nkeys:\n- &me KEY\n- &o OTHER\ncreation_rules:\n- key_groups:\n  - age: [*o, *me] # the älteste\n",
	"keys:\n  - &me KEY\ncreation_rules:\n- path_regex: a\n  key_groups:\n  - age:\n    - *me\n- key_groups:\n  - age:\n    - OTHER\n    - *me",
	"keys:\n  me: &me KEY\n  o: &o OTHER\ncreation_rules:\n- age:\n  - *me\n  - *o\n",
	"keys: &all\n  - KEY\n  - OTHER\ncreation_rules:\n- age: *all\n",
	"keys:\n  - &me OTHER,KEY\ncreation_rules:\n- key_groups: [{age: [*me]}]\n",
	"creation_rules:\n- pgp: A0B1\n  age: KEY\n",
	"keys:\n- &me KEY # a\n\n\n# end",
}

// What is added and removed again leaves no trace, and what is replaced comes
// back as it was.
func TestRulesEditsAreLossless(t *testing.T) {
	added := newKeyPair(t).public
	for i, layout := range layouts {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			text := strings.NewReplacer("KEY", bobKey, "OTHER", aliceKey).Replace(layout)
			roundTrips(t, mustRules(t, text), bobKey, added, true)
		})
	}
}

func roundTrips(t *testing.T, r *Rules, there, absent string, must bool) {
	t.Helper()
	if more, err := r.AddBeside(there, absent); err != nil {
		if must {
			t.Errorf("add: %v", err)
		}
	} else if back, kept, err := more.Remove(absent); err != nil || len(kept) > 0 || string(back.Bytes()) != string(r.Bytes()) {
		t.Errorf("added:\n%s\nremoved again: %v %v", more.Bytes(), kept, err)
		if err == nil {
			t.Error(cmp.Diff(string(r.Bytes()), string(back.Bytes())))
		}
	}
	if other, err := r.Replace(there, absent); err != nil {
		if must {
			t.Errorf("replace: %v", err)
		}
	} else if back, err := other.Replace(absent, there); err != nil || string(back.Bytes()) != string(r.Bytes()) {
		t.Errorf("replaced:\n%s\nback: %v", other.Bytes(), err)
	}
	if _, _, err := r.Remove(there); err != nil && must {
		t.Errorf("remove: %v", err)
	}
}

// What is not edited is refused by name, and never guessed at.
func TestRulesRefuseEdits(t *testing.T) {
	for name, text := range map[string]string{
		"an alias in the place of a list": "keys: [&me KEY]\ncreation_rules:\n- age: *me\n",
		"an item on a line with another":  "keys:\n- - &me KEY\n  - &o OTHER\ncreation_rules:\n- age: [*me, *o]\n",
		"a key with escapes":              "creation_rules:\n- age: [\"\\x61KEY\", OTHER]\n",
	} {
		t.Run(name, func(t *testing.T) {
			key := bobKey
			if strings.Contains(text, `\x61`) {
				key = bobKey[1:]
			}
			r := mustRules(t, strings.NewReplacer("KEY", key, "OTHER", aliceKey).Replace(text))
			var refused *EditError
			if _, err := r.AddBeside(bobKey, machineKey); !errors.As(err, &refused) || !strings.Contains(err.Error(), "by hand") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The anchor stays as long as a rule needs it, and goes with the last.
func TestRemoveSharedAnchor(t *testing.T) {
	const text = "keys:\n- &a " + aliceKey + "\n- &b " + bobKey + "\ncreation_rules:\n- path_regex: x\n  age:\n  - *b\n- age:\n  - *a\n  - *b\n"
	done, kept, err := mustRules(t, text).Remove(bobKey)
	if want := strings.TrimSuffix(text, "  - *b\n"); err != nil || len(kept) != 1 || string(done.Bytes()) != want {
		t.Errorf("%v %v\n%s", err, kept, done.Bytes())
	}
}

// TestRulesOfTheProgram asks the sops program whom it encrypts to.
func TestRulesOfTheProgram(t *testing.T) {
	sops := program(t, "sops")
	dir := t.TempDir()
	text := strings.ReplaceAll(rulesOfAFleet, "    pgp: FBC7 B9E2 A4F9 289A C0C1 D484 3D16 CEE4 A272 81B4\n", "")
	if err := os.WriteFile(filepath.Join(dir, ".sops.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"secrets/bridge/x.enc", "secrets/users/bob/k.yaml", "secrets/hosts/web/w.json", "clusters/x.enc.yaml", "a.yaml"} {
		file := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
		rule, err := mustRules(t, text).For(path)
		if err != nil {
			t.Fatal(err)
		}
		theirs := run(t, nil, nil, sops, "--config", filepath.Join(dir, ".sops.yaml"), "encrypt", file)
		for _, key := range []string{aliceKey, bobKey, machineKey} {
			if got, want := strings.Contains(string(theirs), key), slices.Contains(rule.Recipients(), key); got != want {
				t.Errorf("%s: sops encrypts to %s: %v", path, key, got)
			}
		}
	}
}
