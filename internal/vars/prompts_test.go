package vars

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// typist answers with the name of the question.
type typist struct {
	asked []string
	err   error
}

func (p *typist) Ask(_ context.Context, q Question) (string, error) {
	p.asked = append(p.asked, q.String())
	return "typed " + q.String(), p.err
}

func wifi() *genT {
	return asks(asks(gen("wi-fi", `printf "$(cat $prompts/name)/$(cat $prompts/password)" > $out/conf`, "conf"), "name", false), "password", true)
}

// Each machine has its own answers.
func TestAnswersFromEverywhere(t *testing.T) {
	w := newWorld(t, map[string][]*genT{"a": {wifi()}, "b": {wifi()}})
	person := &typist{}
	w.opts.Sources = Sources{
		Answers:   Answers{"a": {"wi-fi": {"name": "filed"}}},
		LookupEnv: lookup(map[string]string{"FLEET_PROMPT_B_WI_FI_NAME": "from env", "FLEET_PROMPT_A_WI_FI_NAME": "ignored"}),
		Prompter:  person,
	}
	w.generate(Request{})
	for machine, want := range map[string]string{"a": "filed/typed a/wi-fi/password", "b": "from env/typed b/wi-fi/password"} {
		if got := w.get(machine, "wi-fi/conf"); got != want {
			t.Errorf("%s: got %q, want %q", machine, got, want)
		}
	}
	if want := []string{"a/wi-fi/password", "b/wi-fi/password"}; cmp.Diff(want, person.asked) != "" {
		t.Errorf("asked: %v", person.asked)
	}

	// The kept password is used again without a question, unless it is given.
	person.asked = nil
	w.opts.Sources.Answers = Answers{"b": {"wi-fi": {"password": "new"}}}
	w.opts.Sources.LookupEnv = nil
	w.generate(Request{Regenerate: []string{"wi-fi"}})
	for machine, want := range map[string]string{"a": "typed a/wi-fi/name/typed a/wi-fi/password", "b": "typed b/wi-fi/name/new"} {
		if got := w.get(machine, "wi-fi/conf"); got != want {
			t.Errorf("%s: got %q, want %q", machine, got, want)
		}
	}
	if got := w.get("b", "wi-fi/password"); got != "new" {
		t.Errorf("kept: %q", got)
	}
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}

func TestMissingAnswers(t *testing.T) {
	optional := wifi()
	optional.Name = "optional"
	optional.Prompts["name"].Display.Required = false
	w := newWorld(t, map[string][]*genT{"a": {wifi()}, "b": {optional}})
	before := w.snapshot()
	_, err := w.run(Request{})
	var missing *MissingAnswersError
	if !errors.As(err, &missing) || len(missing.Questions) != 3 {
		t.Fatalf("got %v", err)
	}
	want := `3 answers are missing and there is no terminal to ask on:
  a/wi-fi/name (The name), variable FLEET_PROMPT_A_WI_FI_NAME
  a/wi-fi/password (The password), variable FLEET_PROMPT_A_WI_FI_PASSWORD
  b/optional/password (The password), variable FLEET_PROMPT_B_OPTIONAL_PASSWORD
give them in these variables, or with --answers FILE (YAML or JSON: {machine: {generator: {prompt: value}}})`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, w.snapshot()); diff != "" {
		t.Errorf("something changed:\n%s", diff)
	}
}

func TestAnswersThatAnswerNothing(t *testing.T) {
	w := newWorld(t, one(wifi()))
	for _, tt := range []struct {
		answers Answers
		env     map[string]string
		want    string
	}{
		{Answers{"wep": nil}, nil, "the answers name a machine wep, which the fleet has not, did you mean web?"},
		{Answers{"web": {"wifi": nil}}, nil, "the answers name a generator wifi of web, which does not exist, did you mean wi-fi?"},
		{Answers{"web": {"wi-fi": {"pasword": "canary"}}}, nil, "the answers name a prompt pasword of generator wi-fi on web, which does not exist, did you mean password?"},
	} {
		w.opts.Sources = Sources{Answers: tt.answers, Prompter: &typist{}}
		_, err := w.run(Request{})
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "canary") {
			t.Errorf("got %v\nwant %s", err, tt.want)
		}
	}
	w.opts.Sources = Sources{Prompter: &typist{err: errors.New("gave up")}}
	if _, err := w.run(Request{}); err == nil || !strings.Contains(err.Error(), "no answer for web/wi-fi/name, so nothing was changed: gave up") {
		t.Errorf("got %v", err)
	}
}

func TestAmbiguousVariable(t *testing.T) {
	w := newWorld(t, one(asks(gen("a-b", "", "f"), "p", false), asks(gen("a_b", "", "f"), "p", false)))
	w.opts.Sources = Sources{LookupEnv: lookup(map[string]string{"FLEET_PROMPT_WEB_A_B_P": "x"})}
	if _, err := w.run(Request{}); err == nil || !strings.Contains(err.Error(), "the variable FLEET_PROMPT_WEB_A_B_P could answer web/a-b/p and web/a_b/p") {
		t.Errorf("got %v", err)
	}
}

func TestParseAnswers(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       Answers
		err        string
	}{
		{"yaml", "web:\n  wifi:\n    pin: 0123\n    yes: yes\n    text: |\n      a\n      b\n", Answers{"web": {"wifi": {"pin": "0123", "yes": "yes", "text": "a\nb\n"}}}, ""},
		{"json", `{"web": {"wifi": {"p": "\ud83d\ude00 \"q\""}}}`, Answers{"web": {"wifi": {"p": `😀 "q"`}}}, ""},
		{"flow", `{web: {wifi: {p: x}}}`, Answers{"web": {"wifi": {"p": "x"}}}, ""},
		{"empty", "", Answers{}, ""},
		{"comment", "# nothing\n", Answers{}, ""},
		{"list", "- web\n", nil, "line 1: here a mapping is wanted whose keys each name a machine"},
		{"too flat", "web: canary\n", nil, "line 1: here a mapping is wanted whose keys each name a generator of web"},
		{"too deep", "web:\n  wifi:\n    p:\n      x: canary\n", nil, "line 4: the answer to web/wifi/p is not a text"},
		{"null", "web: {wifi: {p: }}\n", nil, "the answer to web/wifi/p is not a text"},
		{"twice", "web:\n  a: {p: x}\n  a: {p: canary}\n", nil, `line 3: "a" names a generator of web twice`},
		{"alias", "web: &w\n  a: {p: x}\ndb: *w\n", nil, "line 3: here a mapping is wanted"},
		{"two documents", "a: {}\n---\nb: {}\n", nil, "more than one YAML document"},
		{"broken", "web: {canary", nil, "neither JSON nor YAML"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseAnswers([]byte(tt.text))
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("got error %v, want %q", err, tt.err)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows a value: %v", err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParseAnswers(f *testing.F) {
	f.Add([]byte("web:\n  wifi:\n    password: x\n"))
	f.Add([]byte(`{"web":{"wifi":{"password":"x"}}}`))
	f.Add([]byte("a: &a {b: {c: d}}\ne: *a\n"))
	f.Add([]byte("!!binary x: {}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		answers, err := ParseAnswers(data)
		if err != nil && answers != nil {
			t.Error("answers beside an error")
		}
		if err == nil && answers == nil {
			t.Error("neither answers nor an error")
		}
	})
}
