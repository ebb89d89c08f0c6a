package clients

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

func newOpenAI() openai.Client {
	return openai.NewClient(option.WithBaseURL(base+"/v1/"), option.WithAPIKey("none"), option.WithMaxRetries(0))
}

func chatParams(text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:       "demo",
		Messages:    []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)},
		Temperature: openai.Float(0),
	}
}

func TestOpenAIChat(t *testing.T) {
	client := newOpenAI()
	p := chatParams("Who are you?")
	p.Logprobs, p.TopLogprobs = openai.Bool(true), openai.Int(2)
	answer, err := client.Chat.Completions.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	c := answer.Choices[0]
	if c.Message.Content != whoSays || c.FinishReason != "stop" || answer.Usage.TotalTokens == 0 || len(c.Logprobs.Content) == 0 || len(c.Logprobs.Content[0].TopLogprobs) != 2 {
		t.Errorf("%s", answer.RawJSON())
	}
	p.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	stream := client.Chat.Completions.NewStreaming(t.Context(), p)
	var all openai.ChatCompletionAccumulator
	for stream.Next() {
		if !all.AddChunk(stream.Current()) {
			t.Errorf("a chunk that does not fit: %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil || all.Choices[0].Message.Content != whoSays || all.Usage.TotalTokens != answer.Usage.TotalTokens {
		t.Errorf("%v %+v", err, all.ChatCompletion)
	}
}

func TestOpenAITools(t *testing.T) {
	client := newOpenAI()
	p := chatParams("Do it.")
	p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "greet", Parameters: schema, Strict: openai.Bool(true)})}
	p.ToolChoice = openai.ToolChoiceOptionFunctionToolChoice(openai.ChatCompletionNamedToolChoiceFunctionParam{Name: "greet"})
	p.ParallelToolCalls = openai.Bool(false)
	stream := client.Chat.Completions.NewStreaming(t.Context(), p)
	var all openai.ChatCompletionAccumulator
	finished := false
	for stream.Next() {
		all.AddChunk(stream.Current())
		if call, ok := all.JustFinishedToolCall(); ok {
			finished = call.Name == "greet"
		}
	}
	if stream.Err() != nil || !finished || all.Choices[0].FinishReason != "tool_calls" {
		t.Fatalf("%v %+v", stream.Err(), all.ChatCompletion)
	}
	call := all.Choices[0].Message.ToolCalls[0]
	var arguments person
	if err := json.Unmarshal([]byte(call.Function.Arguments), &arguments); err != nil || !arguments.valid() {
		t.Errorf("%q %v", call.Function.Arguments, err)
	}
	p.Messages = append(p.Messages, all.Choices[0].Message.ToParam(), openai.ToolMessage("done", call.ID))
	p.ToolChoice = openai.ChatCompletionToolChoiceOptionUnionParam{OfAuto: openai.String("none")}
	p.MaxTokens = openai.Int(5)
	answer, err := client.Chat.Completions.New(t.Context(), p)
	if err != nil || len(answer.Choices[0].Message.ToolCalls) > 0 {
		t.Fatalf("%v %+v", err, answer)
	}
	if answer.Usage.PromptTokensDetails.CachedTokens == 0 {
		t.Errorf("the second turn reused nothing: %s", answer.Usage.RawJSON())
	}
}

func TestOpenAISchema(t *testing.T) {
	client := newOpenAI()
	p := chatParams("Who?")
	p.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{
		JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "person", Schema: schema, Strict: openai.Bool(true)},
	}}
	answer, err := client.Chat.Completions.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	var who person
	if err := json.Unmarshal([]byte(answer.Choices[0].Message.Content), &who); err != nil || !who.valid() {
		t.Errorf("%q %v", answer.Choices[0].Message.Content, err)
	}
}

func TestOpenAIResponses(t *testing.T) {
	client := newOpenAI()
	p := responses.ResponseNewParams{Model: "demo", Temperature: openai.Float(0), Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("Who are you?")}}
	answer, err := client.Responses.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if answer.OutputText() != whoSays || answer.Status != "completed" || answer.Usage.TotalTokens == 0 {
		t.Errorf("%s", answer.RawJSON())
	}
	p.Tools = []responses.ToolUnionParam{responses.ToolParamOfFunction("greet", schema, true)}
	p.ToolChoice = responses.ResponseNewParamsToolChoiceUnion{OfToolChoiceMode: openai.Opt(responses.ToolChoiceOptionsRequired)}
	p.ParallelToolCalls = openai.Bool(false)
	stream := client.Responses.NewStreaming(t.Context(), p)
	var last responses.ResponseStreamEventUnion
	text := ""
	for stream.Next() {
		last = stream.Current()
		if last.Type == "response.function_call_arguments.delta" {
			text += last.Delta
		}
	}
	if stream.Err() != nil || last.Type != "response.completed" {
		t.Fatalf("%v %s", stream.Err(), last.RawJSON())
	}
	call := last.Response.Output[0].AsFunctionCall()
	var arguments person
	if err := json.Unmarshal([]byte(call.Arguments), &arguments); err != nil || call.Arguments != text || !arguments.valid() {
		t.Errorf("%q, in pieces %q: %v", call.Arguments, text, err)
	}
}

func TestOpenAICompletions(t *testing.T) {
	client := newOpenAI()
	answer, err := client.Completions.New(t.Context(), openai.CompletionNewParams{Model: "demo", MaxTokens: openai.Int(8), Echo: openai.Bool(true), N: openai.Int(2),
		Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("Once upon a time")}})
	if err != nil || len(answer.Choices) != 2 || !strings.HasPrefix(answer.Choices[1].Text, "Once upon a time") {
		t.Errorf("%v %+v", err, answer)
	}
}

func TestOpenAIModelsAndErrors(t *testing.T) {
	client := newOpenAI()
	list, err := client.Models.List(t.Context())
	if err != nil || len(list.Data) != 1 || list.Data[0].ID != "demo" {
		t.Errorf("%v %+v", err, list)
	}
	p := chatParams("hi")
	p.Temperature = openai.Float(3)
	_, err = client.Chat.Completions.New(t.Context(), p)
	var refused *openai.Error
	if !errors.As(err, &refused) || refused.StatusCode != 400 || refused.Param != "temperature" {
		t.Errorf("%v", err)
	}
	_, err = client.Chat.Completions.New(t.Context(), chatParams(strings.Repeat("word ", 1<<17)))
	if !errors.As(err, &refused) || refused.Code != "context_length_exceeded" {
		t.Errorf("%v", err)
	}
}
