package vars

import (
	"fmt"
	"strings"
)

// String is the plan as it is shown to a person.
func (p *Plan) String() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "  "+format+"\n", args...) }
	title := func(text string, n int) bool {
		if n > 0 {
			b.WriteString(text + "\n")
		}
		return n > 0
	}
	if p.Empty() {
		b.WriteString("nothing to do: every value is there\n")
	}
	if title("make a key for", len(p.MachineKeys)) {
		line("%s", strings.Join(p.MachineKeys, ", "))
	}
	if title("run", len(p.Steps)) {
		for _, step := range p.Steps {
			line("%s", step.describe())
		}
	}
	if title("move (the values stay)", len(p.Moves)) {
		for _, move := range p.Moves {
			line("%s", move.describe())
		}
	}
	if title("remove", len(p.Removes)) {
		for _, removal := range p.Removes {
			line("%s", removal.Path)
		}
	}
	if title("take as they are", len(p.Accepted)) {
		for _, id := range p.Accepted {
			line("%s", id)
		}
	}
	if title("encrypt for more readers (the values stay)", len(p.Rewraps)) {
		for _, r := range p.Rewraps {
			line("%s: %s", r, strings.Join(r.Add, ", "))
		}
	}
	if title("refuse", len(p.Refused)) {
		for _, r := range p.Refused {
			line("%s: %s", r.ID, r.Reason)
		}
	}
	if title("note", len(p.Notes)) {
		for _, note := range p.Notes {
			line("%s", note)
		}
	}
	return b.String()
}

func (m Move) describe() string {
	text := m.ID.String() + ": " + strings.Join(m.Files, ", ")
	if m.From != m.place() {
		text += " of " + m.From
	}
	if len(m.Publishes) > 0 {
		text += ": PUBLISHES " + strings.Join(m.Publishes, ", ")
	}
	if len(m.Drops) > 0 {
		text += ": REPLACES those of " + strings.Join(m.Drops, ", ")
	}
	return text
}

func (s Step) describe() string {
	text := s.ID.String()
	if s.Shared() {
		text = fmt.Sprintf("%s (shared by %s)", s.Name, strings.Join(s.Machines, ", "))
	}
	if len(s.Missing) > 0 {
		text += ": makes " + strings.Join(s.Missing, ", ")
	}
	switch keeps := strings.Join(s.Keeps, ", "); {
	case s.From != "":
		text += " from the " + s.From + " that is there"
	case keeps != "":
		text += ": KEEPS " + keeps + ", which need not belong to it"
	}
	if len(s.Replaces) > 0 {
		text += ": REPLACES " + strings.Join(s.Replaces, ", ")
	}
	if s.Identity != "" {
		text += " (" + s.Identity + ", which others know)"
	}
	var asks []string
	for _, q := range s.Prompts {
		if q.Stored {
			asks = append(asks, q.Prompt.Name+" (kept)")
		} else {
			asks = append(asks, q.Prompt.Name)
		}
	}
	if len(asks) > 0 {
		text += "; asks for " + strings.Join(asks, ", ")
	}
	if len(s.After) > 0 {
		var after []string
		for _, id := range s.After {
			after = append(after, id.String())
		}
		text += "; after " + strings.Join(after, ", ")
	}
	return text
}
