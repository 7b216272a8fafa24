package vars

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// typist gives the next answer or, without answers, the name of the question.
type typist struct {
	answers []string
	asked   []string
	err     error
}

func (p *typist) Ask(_ context.Context, q Question) (string, error) {
	p.asked = append(p.asked, q.String())
	if len(p.answers) >= len(p.asked) {
		return p.answers[len(p.asked)-1], p.err
	}
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

	// Nobody is there: the kept password is used again, unless another is given.
	w.opts.Sources = Sources{Answers: Answers{"a": {"wi-fi": {"name": "x"}}, "b": {"wi-fi": {"name": "y", "password": "new"}}}}
	w.generate(Request{Regenerate: []string{"wi-fi"}})
	for machine, want := range map[string]string{"a": "x/typed a/wi-fi/password", "b": "y/new"} {
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

// A required answer is not empty, wherever it comes from; a person may try again.
func TestEmptyAnswers(t *testing.T) {
	w := newWorld(t, one(wifi()))
	answers := Answers{"web": {"wi-fi": {"name": "x", "password": ""}}}
	file, err := ParseAnswers("answers.yaml", []byte("web:\n  wi-fi:\n    name: x\n    password: ''\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		sources Sources
		want    string
	}{
		{Sources{Answers: file.Answers, Where: file.Where}, "answers.yaml:4: the answer to web/wi-fi/password is empty, and one is required"},
		{Sources{Answers: answers}, "the answer to web/wi-fi/password is empty, and one is required"},
		{Sources{LookupEnv: lookup(map[string]string{"FLEET_PROMPT_WEB_WI_FI_NAME": ""})}, "the variable FLEET_PROMPT_WEB_WI_FI_NAME is empty, and an answer is required"},
		{Sources{Prompter: &typist{answers: []string{"", "", "", "late"}}}, "no answer for web/wi-fi/name, so nothing was changed: it may not be empty"},
	} {
		w.opts.Sources = tt.sources
		if _, err := w.run(Request{}); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
	w.opts.Sources = Sources{Prompter: &typist{answers: []string{"", "home", "", "", "canary"}}}
	w.generate(Request{})
	if got := w.get("web", "wi-fi/conf"); got != "home/canary" {
		t.Errorf("got %q", got)
	}
}

// Whoever is there is asked when all is made anew, and may keep what was kept.
func TestStoredAnswerIsAskedAgain(t *testing.T) {
	w := newWorld(t, one(wifi()))
	w.opts.Sources = Sources{Prompter: &typist{answers: []string{"home", "old"}}}
	w.generate(Request{})
	for _, tt := range []struct{ password, want string }{{"", "home/old"}, {"new", "home/new"}, {"", "home/new"}} {
		person := &typist{answers: []string{"home", tt.password}}
		w.opts.Sources = Sources{Prompter: person}
		w.generate(Request{Regenerate: []string{"wi-fi"}})
		if got := w.get("web", "wi-fi/conf"); got != tt.want || len(person.asked) != 2 {
			t.Errorf("said %q: got %q, asked %v", tt.password, got, person.asked)
		}
	}
}

// Questions come under their headings, and answers that cannot be placed in the
// file say where they stand.
func TestQuestionsInGroups(t *testing.T) {
	g := asks(asks(asks(asks(gen("g", "", "f"), "a", false), "b", false), "c", false), "d", false)
	for name, group := range map[string]string{"a": "Wifi", "b": "Account", "c": "Wifi", "d": ""} {
		g.Prompts[name].Display.Group = group
	}
	w := newWorld(t, one(g))
	var order []string
	for _, q := range w.plan(Request{}).Questions() {
		order = append(order, q.Prompt.Name)
	}
	if got := strings.Join(order, " "); got != "d b a c" {
		t.Errorf("the order is %s", got)
	}
	file, err := ParseAnswers("dir/a.json", []byte("{\"web\": {\"g\": {\n\"a\": \"x\",\n\"bb\": \"canary\"}},\n \"wep\": {}}"))
	if err != nil {
		t.Fatal(err)
	}
	w.opts.Sources = Sources{Answers: file.Answers, Where: file.Where}
	_, err = w.run(Request{})
	want := "dir/a.json:3: the answers name a prompt bb of generator g on web, which does not exist, did you mean b?\ndir/a.json:4: the answers name a machine wep, which the fleet has not, did you mean web?"
	if err == nil || err.Error() != want {
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
		{"json of numbers", `{"web": {"wifi": {"pin": 0.10, "on": true, "big": 12345678901234567890}}}`, Answers{"web": {"wifi": {"pin": "0.10", "on": "true", "big": "12345678901234567890"}}}, ""},
		{"list", "- web\n", nil, "a.yaml:1: here a mapping is wanted whose keys each name a machine"},
		{"too flat", "web: canary\n", nil, "a.yaml:1: here a mapping is wanted whose keys each name a generator of web"},
		{"too deep", "web:\n  wifi:\n    p:\n      x: canary\n", nil, "a.yaml:4: the answer to web/wifi/p is not a text"},
		{"null", "web: {wifi: {p: }}\n", nil, "a.yaml:1: the answer to web/wifi/p is not a text"},
		{"twice", "web:\n  a: {p: x}\n  a: {p: canary}\n", nil, `a.yaml:3: "a" names a generator of web twice`},
		{"a key that is a list", "web:\n  ? [canary]\n  : x\n", nil, `a.yaml:2: here the name of a generator of web is wanted`},
		{"alias", "web: &w\n  a: {p: x}\ndb: *w\n", nil, "a.yaml:3: here a mapping is wanted"},
		{"two documents", "a: {}\n---\nb: {}\n", nil, "a.yaml:2: a second YAML document begins here"},
		{"broken", "web: {canary", nil, "a.yaml:1: this is neither JSON nor YAML"},
		{"broken below", "web:\n  wifi:\n    p: 'canary\n", nil, "a.yaml:3: this is neither JSON nor YAML"},
		{"a tab", "web:\n\twifi: canary\n", nil, "a.yaml:2: this is neither JSON nor YAML"},
		{"json too flat", "{\n \"web\": \"canary\"}", nil, "a.yaml:2: here a mapping is wanted whose keys each name a generator of web"},
		{"json list", "{\n \"web\": {\n\"a\":\n{\"p\": [\"canary\"]}}}", nil, "a.yaml:4: the answer to web/a/p is not a text"},
		{"json null", `{"web": {"a": {"p": null}}}`, nil, "a.yaml:1: the answer to web/a/p is not a text"},
		{"json twice", "{\"web\": {\n\"a\": {},\n\"a\": {}}}", nil, `a.yaml:3: "a" names a generator of web twice`},
		{"json and more", "{\"web\": {}}\n{}", nil, "a.yaml:1: this is neither JSON nor YAML"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file, err := ParseAnswers("a.yaml", []byte(tt.text))
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Fatalf("got error %v, want %q", err, tt.err)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows a value: %v", err)
			}
			if file != nil {
				if diff := cmp.Diff(tt.want, file.Answers); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func FuzzParseAnswers(f *testing.F) {
	f.Add([]byte("web:\n  wifi:\n    password: x\n"))
	f.Add([]byte(`{"web":{"wifi":{"password":"x"}}}`))
	f.Add([]byte("a: &a {b: {c: d}}\ne: *a\n"))
	f.Add([]byte("!!binary x: {}"))
	f.Add([]byte("{\"a\": {\"b/c\": {\"d\": [1, {}]}}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := ParseAnswers("a", data)
		if (err == nil) == (file == nil) {
			t.Fatalf("%v beside %v", file, err)
		}
		if err != nil {
			return
		}
		for machine, generators := range file.Answers {
			for generator, prompts := range generators {
				for prompt := range prompts {
					for _, names := range [][]string{{machine}, {machine, generator}, {machine, generator, prompt}} {
						if where := file.Where(names...); strings.HasPrefix(where, "a:0:") {
							t.Errorf("%v stands in no line", names)
						}
					}
				}
			}
		}
	})
}
