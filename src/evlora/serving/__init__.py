"""Recognizers as a service: HTTP and WebSocket, with decoding of uploads in processes apart.

An upload passes, in this order: the token (`authorization`), the count of requests (`admission`),
the limit of bytes (`uploads`), a decoder's process (`decoders`, which runs `decoding`), the network
together with other requests (`batching`, `recognizers`), and comes out as JSON (`predicting`,
`documents`). A camera's stream (`live`) has a decoder of its own.
"""
