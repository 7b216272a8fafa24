package vars

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Answers are prompt answers by machine ("shared" for shared generators),
// generator and prompt.
type Answers map[string]map[string]map[string]string

// AnswersFile is a file of answers.
type AnswersFile struct {
	Answers Answers

	name  string
	lines map[string]int // by machine, machine/generator, machine/generator/prompt
}

// Where is the place in the file of a machine, a generator or a prompt, as it
// stands before an error about it: "answers.yaml:3: ".
func (f *AnswersFile) Where(names ...string) string {
	return fmt.Sprintf("%s:%d: ", f.name, f.lines[strings.Join(names, "/")])
}

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
func ParseAnswers(name string, data []byte) (*AnswersFile, error) {
	file := &AnswersFile{Answers: Answers{}, name: name, lines: map[string]int{}}
	if len(data) > maxAnswers {
		return nil, fmt.Errorf("%s: the answers are larger than %d MiB", name, maxAnswers>>20)
	}
	root, err := parseTree(data)
	if err == nil && root != nil {
		err = file.fill(root)
	}
	var at *lineError
	if errors.As(err, &at) {
		return nil, fmt.Errorf("%s:%d: %s", name, at.line, at.problem)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return file, nil
}

// fill takes the answers from a tree.
func (f *AnswersFile) fill(root *tree) error {
	return root.pairs("a machine", func(machine string, line int, t *tree) error {
		f.lines[machine] = line
		f.Answers[machine] = map[string]map[string]string{}
		return t.pairs("a generator of "+machine, func(generator string, line int, t *tree) error {
			f.lines[machine+"/"+generator] = line
			f.Answers[machine][generator] = map[string]string{}
			return t.pairs("a prompt of "+machine+"/"+generator, func(prompt string, line int, t *tree) error {
				if !t.isText {
					return &lineError{t.line, fmt.Sprintf("the answer to %s/%s/%s is not a text", machine, generator, prompt)}
				}
				f.lines[machine+"/"+generator+"/"+prompt] = line
				f.Answers[machine][generator][prompt] = t.text
				return nil
			})
		})
	})
}

// lineError is a problem at a line of the answers.
type lineError struct {
	line    int
	problem string
}

func (e *lineError) Error() string { return fmt.Sprintf("line %d: %s", e.line, e.problem) }

// tree is what YAML and JSON have in common, as far as answers need it.
type tree struct {
	line    int
	isMap   bool
	entries []entry
	isText  bool // or a number and the like
	text    string
}

type entry struct {
	isName bool // the key is one, and no list for example
	name   string
	line   int
	value  *tree
}

// pairs calls f for every entry of a mapping whose keys each name what.
func (t *tree) pairs(what string, f func(name string, line int, value *tree) error) error {
	if !t.isMap {
		return &lineError{t.line, fmt.Sprintf("here a mapping is wanted whose keys each name %s: {machine: {generator: {prompt: value}}}", what)}
	}
	seen := map[string]bool{}
	for _, e := range t.entries {
		if !e.isName {
			return &lineError{e.line, "here the name of " + what + " is wanted"}
		}
		if seen[e.name] {
			return &lineError{e.line, fmt.Sprintf("%q names %s twice", e.name, what)}
		}
		seen[e.name] = true
		if err := f(e.name, e.line, e.value); err != nil {
			return err
		}
	}
	return nil
}

// parseTree reads JSON or YAML; nil is an empty file. The errors of the libraries
// may quote what is in the file, so only the line is taken from them.
func parseTree(data []byte) (*tree, error) {
	if begin := bytes.TrimSpace(data); len(begin) > 0 && begin[0] == '{' {
		if root, err := jsonTree(data); err == nil {
			return root, nil
		}
		// YAML's flow style also begins with a brace.
	}
	var doc, next yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, nil
	} else if err != nil {
		return nil, yamlError(err)
	}
	switch err := dec.Decode(&next); {
	case err == nil:
		return nil, &lineError{next.Line, "a second YAML document begins here"}
	case !errors.Is(err, io.EOF):
		return nil, yamlError(err)
	}
	if root := doc.Content[0]; root.Tag != "!!null" {
		return yamlTree(root), nil
	}
	return nil, nil
}

var yamlLine = regexp.MustCompile(`line (\d+):`)

func yamlError(err error) error {
	const problem = "this is neither JSON nor YAML: check the indentation and the quotes"
	if found := yamlLine.FindStringSubmatch(err.Error()); found != nil {
		if line, err := strconv.Atoi(found[1]); err == nil {
			return &lineError{line, problem}
		}
	}
	return errors.New(problem)
}

func yamlTree(n *yaml.Node) *tree {
	t := &tree{line: n.Line, isMap: n.Kind == yaml.MappingNode, isText: n.Kind == yaml.ScalarNode && n.Tag != "!!null", text: n.Value}
	if t.isMap {
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			t.entries = append(t.entries, entry{isName: key.Kind == yaml.ScalarNode, name: key.Value, line: key.Line, value: yamlTree(n.Content[i+1])})
		}
	}
	return t
}

func jsonTree(data []byte) (*tree, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	line := func() int { return 1 + bytes.Count(data[:dec.InputOffset()], []byte("\n")) }
	var value func() (*tree, error)
	value = func() (*tree, error) {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		t := &tree{line: line()}
		switch token := token.(type) {
		case json.Delim:
			t.isMap = token == '{'
			for dec.More() {
				e := entry{isName: true}
				if t.isMap {
					name, err := dec.Token()
					if err != nil {
						return nil, err
					}
					e.name, e.line = name.(string), line()
				}
				if e.value, err = value(); err != nil {
					return nil, err
				}
				t.entries = append(t.entries, e)
			}
			_, err = dec.Token()
		case nil:
		default:
			t.isText, t.text = true, fmt.Sprint(token)
		}
		return t, err
	}
	root, err := value()
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more than one value")
	}
	return root, nil
}
