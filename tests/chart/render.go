// Renders a chart as `helm template` does, as far as this chart needs it, with Go's own engine.
// Standard input is JSON: the texts of the templates, and the data that they are given.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strings"
	"text/template"
)

type input struct {
	Templates map[string]string
	Data      map[string]any
}

func text(value any) string {
	encoded, err := json.Marshal(value)
	fail(err)
	return string(encoded)
}

// Block style on the first level, JSON below it: both are YAML.
func toYaml(value any) string {
	lines := []string{}
	switch typed := value.(type) {
	case map[string]any:
		for key, item := range typed {
			lines = append(lines, text(key)+": "+text(item))
		}
		sort.Strings(lines)
	case []any:
		for _, item := range typed {
			lines = append(lines, "- "+text(item))
		}
	default:
		return text(value)
	}
	return strings.Join(lines, "\n")
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	var given input
	fail(json.NewDecoder(os.Stdin).Decode(&given))
	all := template.New("chart").Option("missingkey=error")
	all.Funcs(template.FuncMap{
		"toYaml":    toYaml,
		"quote":     func(value any) string { return text(fmt.Sprint(value)) },
		"sha256sum": func(value string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(value))) },
		"nindent": func(width int, value string) string {
			margin := "\n" + strings.Repeat(" ", width)
			return margin + strings.ReplaceAll(value, "\n", margin)
		},
		"default": func(fallback any, value any) any {
			if value == nil || value == "" {
				return fallback
			}
			return value
		},
		"include": func(name string, data any) (string, error) {
			var written bytes.Buffer
			err := all.ExecuteTemplate(&written, name, data)
			return written.String(), err
		},
	})
	names := []string{}
	for name, source := range given.Templates {
		_, err := all.New(name).Parse(source)
		fail(err)
		if !strings.HasPrefix(name, "_") {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Println("---")
		fail(all.ExecuteTemplate(os.Stdout, name, given.Data))
	}
}
