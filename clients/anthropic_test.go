package clients

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

func newAnthropic() anthropic.Client {
	return anthropic.NewClient(option.WithBaseURL(base), option.WithAPIKey("none"), option.WithMaxRetries(0))
}

func messageParams(text string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{
		Model:       "claude-any",
		MaxTokens:   300,
		Messages:    []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(text))},
		Temperature: anthropic.Float(0),
	}
}

func TestAnthropicMessages(t *testing.T) {
	client := newAnthropic()
	answer, err := client.Messages.New(t.Context(), messageParams("Who are you?"))
	if err != nil {
		t.Fatal(err)
	}
	if answer.Content[0].Text != whoSays || answer.StopReason != "end_turn" || answer.Usage.OutputTokens == 0 {
		t.Errorf("%s", answer.RawJSON())
	}
	stream := client.Messages.NewStreaming(t.Context(), messageParams("Who are you?"))
	var all anthropic.Message
	for stream.Next() {
		if err := all.Accumulate(stream.Current()); err != nil {
			t.Fatal(err)
		}
	}
	if stream.Err() != nil || all.Content[0].Text != whoSays || all.StopReason != "end_turn" || all.Usage.OutputTokens != answer.Usage.OutputTokens {
		t.Errorf("%v %+v", stream.Err(), all)
	}
}

func TestAnthropicTools(t *testing.T) {
	client := newAnthropic()
	p := messageParams("Do it.")
	p.Tools = []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{Name: "greet", InputSchema: anthropic.ToolInputSchemaParam{Properties: properties, Required: []string{"name", "age"}}}}}
	p.ToolChoice = anthropic.ToolChoiceUnionParam{OfAny: &anthropic.ToolChoiceAnyParam{DisableParallelToolUse: anthropic.Bool(true)}}
	stream := client.Messages.NewStreaming(t.Context(), p)
	var all anthropic.Message
	for stream.Next() {
		if err := all.Accumulate(stream.Current()); err != nil {
			t.Fatal(err)
		}
	}
	if stream.Err() != nil || all.StopReason != "tool_use" || all.Content[0].Type != "tool_use" {
		t.Fatalf("%v %+v", stream.Err(), all)
	}
	use := all.Content[0].AsToolUse()
	var input person
	if err := json.Unmarshal(use.Input, &input); err != nil || !input.valid() {
		t.Errorf("%s %v", use.Input, err)
	}
	p.Messages = append(p.Messages, all.ToParam(), anthropic.NewUserMessage(anthropic.NewToolResultBlock(use.ID, "done", false)))
	p.ToolChoice = anthropic.ToolChoiceUnionParam{OfNone: &anthropic.ToolChoiceNoneParam{}}
	p.MaxTokens = 5
	answer, err := client.Messages.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Usage.CacheReadInputTokens == 0 {
		t.Errorf("the second turn reused nothing: %s", answer.Usage.RawJSON())
	}
}

func TestAnthropicThinking(t *testing.T) {
	client := newAnthropic()
	p := messageParams("Who are you?")
	p.MaxTokens = 2000
	p.Thinking = anthropic.ThinkingConfigParamOfEnabled(1024)
	stream := client.Messages.NewStreaming(t.Context(), p)
	var all anthropic.Message
	for stream.Next() {
		if err := all.Accumulate(stream.Current()); err != nil {
			t.Fatal(err)
		}
	}
	if stream.Err() != nil || len(all.Content) == 0 || all.Content[0].Type != "thinking" || all.Content[0].Signature == "" {
		t.Errorf("%v %+v", stream.Err(), all)
	}
}

func TestAnthropicSchema(t *testing.T) {
	client := newAnthropic()
	p := messageParams("Who?")
	p.OutputConfig = anthropic.OutputConfigParam{Format: anthropic.JSONOutputFormatParam{Schema: schema}}
	answer, err := client.Messages.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	var who person
	if err := json.Unmarshal([]byte(answer.Content[0].Text), &who); err != nil || !who.valid() {
		t.Errorf("%q %v", answer.Content[0].Text, err)
	}
}

func TestAnthropicCountAndErrors(t *testing.T) {
	client := newAnthropic()
	p := messageParams("Who are you?")
	count, err := client.Messages.CountTokens(t.Context(), anthropic.MessageCountTokensParams{Model: p.Model, Messages: p.Messages})
	if err != nil || count.InputTokens == 0 {
		t.Errorf("%v %+v", err, count)
	}
	p.MaxTokens = -1
	_, err = client.Messages.New(t.Context(), p)
	var refused *anthropic.Error
	if !errors.As(err, &refused) || refused.StatusCode != 400 {
		t.Errorf("%v", err)
	}
}
