defmodule Penstock.Event do
  @moduledoc """
  An event of a stream: one that was read, or one to be written.

  - `id`: a UUID as text, in lower case
  - `type`: the name that its writer gave to this kind of event
  - `body`: its data. JSON (`content_type` `"application/json"`) is decoded, unless the reader asked for raw bodies:
    objects are maps with binaries as keys, null is nil. A body that is no valid JSON although its content type says
    so is `{:undecodable, raw}`; an empty one stays `""`. Bodies of other content types are the binary that was stored.
  - `link`: when the event was reached by way of a link, the link, an event itself with its own place in its own stream.
    Its body is never decoded.
  - `metadata`: of an event that was read, a map of
    - `:stream_name`, `:stream_revision`: where the event stands
    - `:created`: when it was stored, a `DateTime` in UTC to the microsecond
    - `:content_type`: `"application/json"` or `"application/octet-stream"`
    - `:custom_metadata`: what its writer put beside the data, as the binary that was stored (`""` for none)
    - `:commit_position`, `:prepare_position`: its place in the log
    - `:producer`, `:subscription`: by which process and which subscription it came

  A link whose event is gone (deleted, truncated, never there) is an event too, so that a reader can tell and go on:
  `id`, `type` and `body` are nil, `link` is the link, and `metadata` is that of the link.
  """

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

  @doc """
  An event to be written.

  With the content type `"application/json"`, the default, the body is any term that has a form in JSON, and
  `{:raw, binary}` is text that is JSON already. With `"application/octet-stream"` it is a binary.

  Options: `:id` (a UUID as text; a new random one by default: append the same event again and it is written once),
  `:content_type`, and `:custom_metadata` (a binary, `""` by default).

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
  The event's number in the stream that was read: the link's if it was reached by way of one; nil for one that was not read.

      iex> Penstock.Event.revision(%Penstock.Event{metadata: %{stream_revision: 4}})
      4
  """
  @spec revision(t) :: non_neg_integer | nil
  def revision(%__MODULE__{link: %__MODULE__{} = link}), do: revision(link)
  def revision(%__MODULE__{metadata: metadata}), do: metadata[:stream_revision]

  @doc false
  # The body as it is stored.
  @spec data(t) :: {:ok, binary} | {:error, String.t()}
  def data(%__MODULE__{body: {shape, raw}}) when shape in [:raw, :undecodable] and is_binary(raw),
    do: {:ok, raw}

  def data(%__MODULE__{body: body, metadata: %{content_type: @json}}) do
    case Penstock.Json.encode(body) do
      {:ok, data} -> {:ok, data}
      {:error, message} -> {:error, "the event's body cannot be written as JSON: " <> message}
    end
  end

  def data(%__MODULE__{body: body}) when is_binary(body), do: {:ok, body}

  def data(%__MODULE__{body: body}),
    do: {:error, "the event's body is #{inspect(body)}; with this content type it takes a binary"}

  defp known!(opts) do
    unless Keyword.keyword?(opts), do: refuse!("the options of an event", opts, "a keyword list")

    case Keyword.keys(opts) -- @options do
      [] -> :ok
      unknown -> refuse!("the options of an event", unknown, "#{inspect(@options)}, each once")
    end
  end

  defp type!(type) when is_binary(type) and type != "", do: type
  defp type!(type), do: refuse!("the type of an event", type, "a string that is not empty")

  defp content_type!(type) when type in [@json, @binary], do: type
  defp content_type!(type), do: refuse!(":content_type", type, "#{inspect(@json)} or #{inspect(@binary)}")

  defp custom_metadata!(metadata) when is_binary(metadata), do: metadata
  defp custom_metadata!(metadata), do: refuse!(":custom_metadata", metadata, "a binary")

  defp body!(@binary, body) when not is_binary(body), do: refuse!("the body of an event", body, "a binary")
  defp body!(_content_type, body), do: body

  defp id!(id) when is_binary(id) do
    lower = String.downcase(id, :ascii)
    if lower =~ ~r/\A[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\z/, do: lower, else: bad_id!(id)
  end

  defp id!(id), do: bad_id!(id)

  defp bad_id!(id), do: refuse!(":id", id, "a UUID as text with dashes")

  defp random_id do
    <<a::32, b::16, _::4, c::12, _::2, d::14, e::48>> = :crypto.strong_rand_bytes(16)

    <<a::32, b::16, 4::4, c::12, 2::2, d::14, e::48>>
    |> Base.encode16(case: :lower)
    |> then(fn <<a::binary-8, b::binary-4, c::binary-4, d::binary-4, e::binary>> ->
      Enum.join([a, b, c, d, e], "-")
    end)
  end

  defp refuse!(what, got, takes), do: raise(ArgumentError, "#{what} is #{inspect(got)}; it takes #{takes}")
end
