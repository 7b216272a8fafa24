package vars

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"go.yaml.in/yaml/v3"
)

// Answers are prompt answers by machine ("shared" for shared generators),
// generator and prompt.
type Answers map[string]map[string]map[string]string

// maxAnswers bounds an answers file: it is read whole.
const maxAnswers = 4 << 20

// ParseAnswers reads an answers file, JSON or YAML:
//
//	cinnabar:
//	  wifi:
//	    password: "correct horse"
//
// Numbers and the like are taken as they are written, so a PIN keeps its
// leading zero. Errors name the place and never a value.
func ParseAnswers(data []byte) (Answers, error) {
	if len(data) > maxAnswers {
		return nil, fmt.Errorf("the answers are larger than %d MiB", maxAnswers>>20)
	}
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '{' {
		var answers Answers
		if err := decodeJSON(trimmed, &answers); err == nil {
			return answers, nil
		}
		// YAML's flow style also begins with a brace.
	}
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return Answers{}, nil
		}
		return nil, errors.New("the answers are neither JSON nor YAML: check the indentation and the quotes")
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("the answers hold more than one YAML document")
	}
	answers := Answers{}
	if root := doc.Content[0]; root.Tag == "!!null" {
		return answers, nil
	}
	err := pairs(doc.Content[0], "a machine", func(machine string, v *yaml.Node) error {
		answers[machine] = map[string]map[string]string{}
		return pairs(v, "a generator of "+machine, func(generator string, v *yaml.Node) error {
			answers[machine][generator] = map[string]string{}
			return pairs(v, "a prompt of "+machine+"/"+generator, func(prompt string, v *yaml.Node) error {
				if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
					return fmt.Errorf("line %d: the answer to %s/%s/%s is not a text", v.Line, machine, generator, prompt)
				}
				answers[machine][generator][prompt] = v.Value
				return nil
			})
		})
	})
	if err != nil {
		return nil, fmt.Errorf("the answers are to be {machine: {generator: {prompt: value}}}: %w", err)
	}
	return answers, nil
}

func decodeJSON(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more than one value")
	}
	return nil
}

// pairs calls f for every entry of a mapping whose keys each name what.
func pairs(n *yaml.Node, what string, f func(key string, value *yaml.Node) error) error {
	if n.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: here a mapping is wanted whose keys each name %s", n.Line, what)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			return fmt.Errorf("line %d: here the name of %s is wanted", key.Line, what)
		}
		if seen[key.Value] {
			return fmt.Errorf("line %d: %q names %s twice", key.Line, key.Value, what)
		}
		seen[key.Value] = true
		if err := f(key.Value, n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}
