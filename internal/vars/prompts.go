package vars

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crs58/fleet/internal/flake"
)

// Question is one prompt of one generator; each machine has its own.
type Question struct {
	ID
	Machines []string      `json:"machines"`
	Prompt   *flake.Prompt `json:"prompt"`
	// Stored says that an earlier answer was kept, which is used again unless a
	// new one is given.
	Stored bool `json:"stored"`

	// renew says that all values are to be made anew: whoever is there is asked
	// although an answer is stored.
	renew bool
}

// Env is the variable that answers the question.
func (q Question) Env() string {
	name := strings.ToUpper(q.place() + "_" + q.Name + "_" + q.Prompt.Name)
	return "FLEET_PROMPT_" + strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
}

// String is how the answer is named in an answers file.
func (q Question) String() string { return q.place() + "/" + q.Name + "/" + q.Prompt.Name }

// Prompter asks a person. It returns an error when the person gives up. To say
// nothing keeps a stored answer.
type Prompter interface {
	Ask(ctx context.Context, q Question) (string, error)
}

// Sources are where answers come from: first Answers, then LookupEnv with
// [Question.Env], then an answer that was kept, then Prompter.
type Sources struct {
	Answers Answers
	// Where says where an answer stands, for errors; it may be nil.
	Where func(names ...string) string
	// LookupEnv is os.LookupEnv, or nil.
	LookupEnv func(string) (string, bool)
	// Prompter is nil when there is nobody to ask.
	Prompter Prompter
}

// MissingAnswersError lists every question that nobody answers.
type MissingAnswersError struct {
	Questions []Question
}

func (e *MissingAnswersError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d answers are missing and there is no terminal to ask on:", len(e.Questions))
	if len(e.Questions) == 1 {
		b.Reset()
		b.WriteString("an answer is missing and there is no terminal to ask on:")
	}
	for _, q := range e.Questions {
		fmt.Fprintf(&b, "\n  %s", q)
		if d := q.Prompt.Description; d != "" && d != q.Prompt.Name {
			fmt.Fprintf(&b, " (%s)", strings.TrimSpace(d))
		}
		fmt.Fprintf(&b, ", variable %s", q.Env())
	}
	b.WriteString("\ngive them in these variables, or with --answers FILE (YAML or JSON: {machine: {generator: {prompt: value}}})")
	return b.String()
}

// attempts is how often a person may say nothing where something is wanted.
const attempts = 3

// answer finds the answers to all questions but those that a kept answer
// serves. Without a Prompter all that are missing are reported at once.
func (s Sources) answer(ctx context.Context, questions []Question) (map[ID]map[string][]byte, error) {
	answers := map[ID]map[string][]byte{}
	set := func(q Question, value string) {
		if answers[q.ID] == nil {
			answers[q.ID] = map[string][]byte{}
		}
		answers[q.ID][q.Prompt.Name] = []byte(value)
	}
	var open []Question
	for _, q := range questions {
		value, ok, err := s.given(q, questions)
		switch {
		case err != nil:
			return nil, err
		case ok:
			set(q, value)
		case q.Stored && (s.Prompter == nil || !q.renew):
		case s.Prompter == nil && !q.Prompt.Display.Required:
			set(q, "")
		default:
			open = append(open, q)
		}
	}
	if s.Prompter == nil && len(open) > 0 {
		return nil, &MissingAnswersError{Questions: open}
	}
	for _, q := range open {
		value, err := s.ask(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("no answer for %s, so nothing was changed: %w", q, err)
		}
		if value != "" || !q.Stored {
			set(q, value)
		}
	}
	return answers, nil
}

func (s Sources) ask(ctx context.Context, q Question) (string, error) {
	for range attempts {
		value, err := s.Prompter.Ask(ctx, q)
		if err != nil || value != "" || q.Stored || !q.Prompt.Display.Required {
			return value, err
		}
	}
	return "", errors.New("it may not be empty")
}

// given looks an answer up without asking.
func (s Sources) given(q Question, all []Question) (string, bool, error) {
	if value, ok := s.Answers[q.place()][q.Name][q.Prompt.Name]; ok {
		if value == "" && q.Prompt.Display.Required {
			return "", false, fmt.Errorf("%sthe answer to %s is empty, and one is required", s.where(q.place(), q.Name, q.Prompt.Name), q)
		}
		return value, true, nil
	}
	if s.LookupEnv == nil {
		return "", false, nil
	}
	value, ok := s.LookupEnv(q.Env())
	if !ok {
		return "", false, nil
	}
	if value == "" && q.Prompt.Display.Required {
		return "", false, fmt.Errorf("the variable %s is empty, and an answer is required", q.Env())
	}
	same := func(o Question) bool { return o.Env() == q.Env() && o.String() != q.String() }
	if i := slices.IndexFunc(all, same); i >= 0 {
		return "", false, fmt.Errorf("the variable %s could answer %s and %s: answer these two with --answers FILE", q.Env(), q, all[i])
	}
	return value, true, nil
}

func (s Sources) where(names ...string) string {
	if s.Where == nil {
		return ""
	}
	return s.Where(names...)
}

// check finds answers that answer nothing: misspelt names would otherwise be
// asked for again, or silently missing.
func (s Sources) check(f *Fleet, g *Graph) error {
	var errs []error
	for _, place := range sorted(s.Answers) {
		_, selected := f.Machines[place]
		if !selected && place != "shared" {
			if _, known := f.Inventory.Machines[place]; !known {
				errs = append(errs, fmt.Errorf("%sthe answers name a machine %s, which the fleet has not%s", s.where(place), place, flake.DidYouMean(place, sorted(f.Inventory.Machines))))
			}
			continue
		}
		id := ID{Machine: place}
		if place == "shared" {
			id.Machine = ""
		}
		for _, name := range sorted(s.Answers[place]) {
			id.Name = name
			node := g.Node(id)
			if node == nil {
				if !id.Shared() {
					errs = append(errs, fmt.Errorf("%sthe answers name a generator %s of %s, which does not exist%s", s.where(place, name), name, place, flake.DidYouMean(name, g.namesAt(id.Machine))))
				}
				continue
			}
			for _, prompt := range sorted(s.Answers[place][name]) {
				if node.Def.Prompts[prompt] == nil {
					errs = append(errs, fmt.Errorf("%sthe answers name a prompt %s of generator %s, which does not exist%s", s.where(place, name, prompt), prompt, id, flake.DidYouMean(prompt, sorted(node.Def.Prompts))))
				}
			}
		}
	}
	return errors.Join(errs...)
}
