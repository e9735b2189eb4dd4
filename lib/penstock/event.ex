defmodule Penstock.Event do
  @moduledoc """
  An event of a stream: one that was read, or one to be written.

  - `id`: a UUID as text, in lower case
  - `type`: the name that its writer gave to this kind of event
  - `body`: its data; see "Bodies"
  - `link`: when the event was reached by way of a link, the link, an event itself with its own place in its own stream.
    Its body is never decoded.
  - `metadata`: of an event that was read, a map of
    - `:stream_name`, `:stream_revision`: where the event stands. For an event that was reached by way of a link, that is
      not the stream that is read: use `revision/1` for the place to go on from
    - `:created`: when it was stored, a `DateTime` in UTC to the microsecond
    - `:content_type`: `"application/json"` or `"application/octet-stream"`
    - `:custom_metadata`: what its writer put beside the data, as the binary that was stored (`""` for none)
    - `:commit_position`, `:prepare_position`: its place in the log
    - `:producer`, `:subscription`: by which process and which subscription it came
    - `:raw_body`: only of an event whose content type is JSON and whose body was not decoded: the body once more. It
      tells text that is JSON already from a string that is to become JSON

  A link whose event is gone (deleted, truncated, never there) is an event too, so that a reader can tell and go on:
  `id`, `type` and `body` are nil, `link` is the link, and `metadata` is that of the link.

  ## Bodies

  | content type | read with `json: :decode` | read with `json: :raw` |
  |---|---|---|
  | `"application/json"` | a term: objects are maps with binaries as keys, null is nil | the binary that was stored |
  | the same, but the body is no valid JSON, or an empty one | `{:undecodable, binary}` | the binary that was stored |
  | any other | the binary that was stored | the binary that was stored |

  JSON is what RFC 8259 says, nested up to 127 levels; integers of up to 1000 digits are exact, other numbers are
  the nearest float, and one beyond every float makes the body undecodable. Of equal keys the last one counts.

  ## Writing again what was read

  An event that was read can be appended as it is, to a stream of any server. What was read with `json: :raw`, what is
  undecodable, and what is no JSON is written with the same bytes. What was decoded is written as the same value: a term
  knows nothing of white space, of the order of keys, of keys that were there twice or of how a number was written (`1e2` is
  written as `100.0`, `-0` as `0`, digits beyond what a float holds are lost). So copy streams with `json: :raw`; where the
  terms are needed as well, `decode/1` decodes such an event, and as long as its body is not changed it is still
  written with the same bytes.

  A body that is put in place of another (`%{event | body: term}`) is written as for `new/3`.
  """

  alias Penstock.{Json, Options}

  defstruct [:id, :type, :body, :link, metadata: %{}]

  @type t :: %__MODULE__{
          id: String.t() | nil,
          type: String.t() | nil,
          body: term,
          link: t | nil,
          metadata: map
        }

  @type option ::
          {:id, String.t()}
          | {:content_type, String.t()}
          | {:custom_metadata, binary}

  @json "application/json"
  @binary "application/octet-stream"
  @options [:id, :content_type, :custom_metadata]
  # Servers take it for no id at all.
  @zeros "00000000-0000-0000-0000-000000000000"

  @doc """
  An event to be written.

  With the content type `"application/json"`, the default, the body is any term that has a form in JSON, and
  `{:raw, binary}` is text that is JSON already. With `"application/octet-stream"` it is a binary.

  In JSON, maps are objects (their keys may be binaries, atoms or integers), lists are arrays, binaries in UTF-8 are strings;
  `nil` and Erlang's `null` are null, `true` and `false` themselves, other atoms strings. The atom `undefined` is refused: it may
  mean null or nothing at all, so say which. So are tuples and structs: turn them into maps first.

  Options: `:id` (a UUID as text, not all zeros; a new random one by default), `:content_type`, and `:custom_metadata` (a
  binary, `""` by default). What the id does for an append that is repeated: see `Penstock.EventStore.append/4`.

      iex> event = Penstock.Event.new("order-placed", %{"order" => 1})
      iex> {event.type, event.body, event.metadata.content_type}
      {"order-placed", %{"order" => 1}, "application/json"}
  """
  @spec new(String.t(), term, [option]) :: t
  def new(type, body, opts \\ []) do
    known!(opts)
    content_type = Keyword.get(opts, :content_type, @json)

    %__MODULE__{
      id: id!(Keyword.get_lazy(opts, :id, &random_id/0)),
      type: type!(type),
      body: body!(content_type!(content_type), body),
      metadata: %{
        content_type: content_type,
        custom_metadata: custom_metadata!(Keyword.get(opts, :custom_metadata, ""))
      }
    }
  end

  @doc """
  The event's number in the stream that was read; nil for one that was not read.

  This is what a handler keeps as its position. For an event that was reached by way of a link it is the link's number, where
  `metadata.stream_revision` is that of the event that the link leads to, in another stream.

      iex> Penstock.Event.revision(%Penstock.Event{metadata: %{stream_revision: 4}})
      4
  """
  @spec revision(t) :: non_neg_integer | nil
  def revision(%__MODULE__{link: %__MODULE__{} = link}), do: revision(link)
  def revision(%__MODULE__{metadata: %{stream_revision: revision}}), do: revision
  def revision(%__MODULE__{}), do: nil

  @doc """
  The event's place in the log of all streams; nil for one that was not read.

  This is what a handler of `$all` keeps as its position. For an event that was reached by way of a link it is the link's.

      iex> Penstock.Event.position(%Penstock.Event{metadata: %{commit_position: 7, prepare_position: 7}})
      %Penstock.Position{commit: 7, prepare: 7}
  """
  @spec position(t) :: Penstock.Position.t() | nil
  def position(%__MODULE__{link: %__MODULE__{} = link}), do: position(link)

  def position(%__MODULE__{metadata: %{commit_position: commit, prepare_position: prepare}})
      when is_integer(commit) and is_integer(prepare),
      do: %Penstock.Position{commit: commit, prepare: prepare}

  def position(%__MODULE__{}), do: nil

  @doc false
  # The stream that was read.
  @spec stream_name(t) :: String.t() | nil
  def stream_name(%__MODULE__{link: %__MODULE__{} = link}), do: stream_name(link)
  def stream_name(%__MODULE__{metadata: %{stream_name: stream}}), do: stream
  def stream_name(%__MODULE__{}), do: nil

  @doc """
  Decodes the body of an event that was read with `json: :raw`, as reading it with `json: :decode` does.

  Any other event stays as it is.
  """
  @spec decode(t) :: t
  def decode(%__MODULE__{body: "", metadata: %{raw_body: ""}} = event),
    do: %{event | body: {:undecodable, ""}}

  def decode(%__MODULE__{body: raw, metadata: %{raw_body: raw}} = event) do
    case Json.decode(raw) do
      {:ok, term} -> %{event | body: term}
      {:error, _message} -> %{event | body: {:undecodable, raw}}
    end
  end

  def decode(%__MODULE__{} = event), do: event

  @doc false
  # The body as it is stored.
  @spec data(t) :: {:ok, binary} | {:error, String.t()}
  def data(%__MODULE__{body: {shape, raw}}) when shape in [:raw, :undecodable] and is_binary(raw),
    do: {:ok, raw}

  def data(%__MODULE__{body: raw, metadata: %{raw_body: raw}}) when is_binary(raw), do: {:ok, raw}

  def data(%__MODULE__{body: body, metadata: %{content_type: @json} = metadata}) do
    if decoded_from?(metadata, body), do: {:ok, metadata.raw_body}, else: encode(body)
  end

  def data(%__MODULE__{body: body}) when is_binary(body), do: {:ok, body}

  def data(%__MODULE__{body: body, metadata: metadata}) do
    {:error,
     "the event's body is #{inspect(body)}; with the :content_type #{inspect(metadata[:content_type])} it takes a binary"}
  end

  # Whether a body is still what `decode/1` made of the text.
  defp decoded_from?(%{raw_body: raw}, body) when is_binary(raw), do: match?({:ok, ^body}, Json.decode(raw))
  defp decoded_from?(_metadata, _body), do: false

  defp encode(body) do
    case Json.encode(body) do
      {:ok, data} -> {:ok, data}
      {:error, message} -> {:error, "the event's body cannot be written as JSON: " <> message}
    end
  end

  @doc false
  # What an append takes of an event, or an `ArgumentError` that names what is wrong: an event need not come from
  # `new/3`, and may have been changed since.
  @spec to_write!(term) :: {String.t(), String.t(), String.t(), binary, binary}
  def to_write!(%__MODULE__{type: nil, link: %__MODULE__{}} = event) do
    raise ArgumentError,
          "an event is a link whose own event is gone, and there is nothing of it to append; to append the link itself, " <>
            "take its :link: #{inspect(event)}"
  end

  def to_write!(%__MODULE__{metadata: metadata} = event) when is_map(metadata) and not is_struct(metadata) do
    id = id!(event.id)
    type = type!(event.type)
    content_type = stored_content_type!(metadata[:content_type])
    custom_metadata = custom_metadata!(Map.get(metadata, :custom_metadata, ""))

    case data(event) do
      {:ok, data} -> {id, type, content_type, data, custom_metadata}
      {:error, message} -> raise ArgumentError, message
    end
  end

  def to_write!(%__MODULE__{metadata: metadata}), do: refuse!("the metadata of an event", metadata, "a map")

  def to_write!(other) do
    raise ArgumentError,
          "Penstock.EventStore.append takes events made by Penstock.Event.new/3, got: #{inspect(other)}"
  end

  # A server of another make may have given one that is in neither form.
  defp stored_content_type!(type) do
    if is_binary(type) and type != "" and String.valid?(type),
      do: type,
      else:
        refuse!(
          "the :content_type in the metadata of an event",
          type,
          "#{inspect(@json)} or #{inspect(@binary)}"
        )
  end

  defp known!(opts) do
    unless Keyword.keyword?(opts), do: refuse!("the options of an event", opts, "a keyword list")

    case Keyword.keys(opts) -- @options do
      [] -> :ok
      unknown -> refuse!("the options of an event", unknown, "#{inspect(@options)}, each once")
    end
  end

  defp type!(type) do
    if is_binary(type) and type != "" and String.valid?(type),
      do: type,
      else: refuse!("the type of an event", type, "a string that is not empty")
  end

  defp content_type!(type) when type in [@json, @binary], do: type
  defp content_type!(type), do: refuse!(":content_type", type, "#{inspect(@json)} or #{inspect(@binary)}")

  defp custom_metadata!(metadata) when is_binary(metadata), do: metadata
  defp custom_metadata!(metadata), do: refuse!(":custom_metadata", metadata, "a binary")

  defp body!(@binary, body) when not is_binary(body), do: refuse!("the body of an event", body, "a binary")
  defp body!(_content_type, body), do: body

  defp id!(id) when is_binary(id) do
    lower = String.downcase(id, :ascii)

    if lower != @zeros and lower =~ ~r/\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z/,
      do: lower,
      else: bad_id!(id)
  end

  defp id!(id), do: bad_id!(id)

  defp bad_id!(id), do: refuse!("the :id of an event", id, "a UUID as text with dashes, not all zeros")

  defp random_id do
    <<a::32, b::16, _::4, c::12, _::2, d::14, e::48>> = :crypto.strong_rand_bytes(16)

    <<a::32, b::16, 4::4, c::12, 2::2, d::14, e::48>>
    |> Base.encode16(case: :lower)
    |> then(fn <<a::binary-8, b::binary-4, c::binary-4, d::binary-4, e::binary>> ->
      Enum.join([a, b, c, d, e], "-")
    end)
  end

  defp refuse!(what, got, takes),
    do: raise(ArgumentError, "#{what} is #{inspect(got)}#{Options.hint(got)}; it takes #{takes}")
end
