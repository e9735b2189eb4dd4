defmodule Penstock.Filter do
  @moduledoc """
  Which events of `$all` are wanted. The server judges them, so what is not wanted never travels.

      Penstock.Filter.by_type(prefix: "order-")
      Penstock.Filter.by_stream(prefix: ["orders-", "invoices-"])
      Penstock.Filter.by_type(regex: ~r/^(order|invoice)-.*-v2$/)
      Penstock.Filter.exclude_system_events()

  Of a link, type (`$>`) and stream are the link's own, not those of the event that it leads to.

  ## Patterns

  - `prefix:` a string, or a list of them of which one has to fit; case counts
  - `regex:` a regular expression, as a string or a `Regex`. It is read by the server, in its dialect (EventStoreDB: that
    of .NET, which has lookahead), and may match anywhere unless it is anchored. Of a `Regex` the source is sent, and its
    flags `i`, `m`, `s` and `x` as `(?imsx)` before it; other flags are refused

  ## Options

  - `:window` (32): how many events the server looks at in one step, 1 to 4294967295. Larger ones find rare events sooner
  - `:checkpoint_interval` (1): after so many windows a subscription is told how far the server has looked, so that it goes
    on from there after a restart although no event was wanted, 1 to 4294967295
  """

  alias Penstock.Options

  @enforce_keys [:subject, :pattern]
  defstruct [:subject, :pattern, window: 32, checkpoint_interval: 1]

  @type t :: %__MODULE__{
          subject: :type | :stream,
          pattern: {:prefix, [String.t(), ...]} | {:regex, String.t()},
          window: pos_integer,
          checkpoint_interval: pos_integer
        }

  @type option ::
          {:prefix, String.t() | [String.t(), ...]}
          | {:regex, String.t() | Regex.t()}
          | {:window, pos_integer}
          | {:checkpoint_interval, pos_integer}

  @doc "Events whose type has a prefix or matches a regular expression; an `ArgumentError` says what is wrong."
  @spec by_type([option]) :: t
  def by_type(options), do: new(:type, options, "Penstock.Filter.by_type")

  @doc "Events of streams whose name has a prefix or matches a regular expression; an `ArgumentError` says what is wrong."
  @spec by_stream([option]) :: t
  def by_stream(options), do: new(:stream, options, "Penstock.Filter.by_stream")

  @doc "Events whose type does not begin with `$`: all but those of the server itself, and links."
  @spec exclude_system_events(window: pos_integer, checkpoint_interval: pos_integer) :: t
  def exclude_system_events(options \\ []) do
    settings = Options.validate!(options, steps(), "Penstock.Filter.exclude_system_events")
    struct!(%__MODULE__{subject: :type, pattern: {:regex, "^[^$]"}}, settings)
  end

  @doc false
  # Exactly these streams. Everything that means something in an expression is taken for itself.
  @spec of_streams([String.t(), ...]) :: t
  def of_streams(streams) do
    names = Enum.map_join(streams, "|", &String.replace(&1, ~r/[\\.+*?()|\[\]{}^$]/, "\\\\\\0"))
    %__MODULE__{subject: :stream, pattern: {:regex, "^(?:" <> names <> ")\\z"}, window: 256}
  end

  defp new(subject, options, owner) do
    {pattern, settings} =
      options |> Options.validate!(patterns() ++ steps(), owner) |> Map.split([:prefix, :regex])

    struct!(%__MODULE__{subject: subject, pattern: pattern!(pattern, owner)}, settings)
  end

  defp pattern!(%{prefix: prefix, regex: nil}, _owner) when prefix != nil, do: {:prefix, prefix}
  defp pattern!(%{prefix: nil, regex: regex}, _owner) when regex != nil, do: {:regex, regex}

  defp pattern!(got, owner) do
    raise ArgumentError, "#{owner} takes either :prefix or :regex, got: #{inspect(Map.to_list(got))}"
  end

  defp patterns do
    [
      prefix: [
        type: {:cast, &prefix/1, "a string in UTF-8, or a list of them that is not empty"},
        default: nil,
        doc: "What the name begins with."
      ],
      regex: [
        type:
          {:cast, &regex/1,
           "a regular expression that is not empty, as a string in UTF-8 or a Regex with no other flags than i, m, s and x"},
        default: nil,
        doc: "What the name matches."
      ]
    ]
  end

  defp steps do
    number = {:integer, 1, 4_294_967_295}

    [
      window: [type: number, default: 32, doc: "How many events are looked at in one step."],
      checkpoint_interval: [type: number, default: 1, doc: "After how many windows there is a checkpoint."]
    ]
  end

  defp prefix(nil), do: {:ok, nil}
  defp prefix(one) when is_binary(one), do: prefix([one])

  defp prefix([_ | _] = all) do
    if not List.improper?(all) and Enum.all?(all, &(is_binary(&1) and String.valid?(&1))),
      do: {:ok, all},
      else: {:error, nil}
  end

  defp prefix(_other), do: {:error, nil}

  defp regex(nil), do: {:ok, nil}

  defp regex(%Regex{} = regex) do
    case flags(Regex.opts(regex)) do
      {:ok, flags} -> regex(flags <> Regex.source(regex))
      :error -> {:error, nil}
    end
  end

  defp regex(text) when is_binary(text),
    do: if(text != "" and String.valid?(text), do: {:ok, text}, else: {:error, nil})

  defp regex(_other), do: {:error, nil}

  # Strings up to Elixir 1.18, lists after it.
  @letters [caseless: "i", multiline: "m", dotall: "s", extended: "x"]

  defp flags(options) when is_binary(options) do
    letters = String.graphemes(options)
    if letters -- Keyword.values(@letters) == [], do: {:ok, group(options)}, else: :error
  end

  defp flags(options) do
    # Elixir names dotall by two options.
    if (options -- [{:newline, :anycrlf}]) -- Keyword.keys(@letters) == [],
      do: {:ok, group(for {name, letter} <- @letters, name in options, into: "", do: letter)},
      else: :error
  end

  defp group(""), do: ""
  defp group(flags), do: "(?#{flags})"

  @doc false
  # As the native core takes it.
  @spec to_native(t | nil) :: nil | tuple
  def to_native(nil), do: nil
  def to_native(%__MODULE__{} = it), do: {it.subject, it.pattern, it.window, it.checkpoint_interval}
end
