"""The consumer framework: routes, controllers, responders, and the server that runs them.

Nothing here imports kafka-python until a server starts, so that reading declarations is cheap.
"""

from ops.consumer.app import App, load_app
from ops.consumer.backend import Backend, InlineBackend
from ops.consumer.controller import Controller, Halt
from ops.consumer.message import Message, Output, PlainMessage
from ops.consumer.names import TopicMapper
from ops.consumer.parser import Interchanger, Parser
from ops.consumer.responder import Responder, TopicDeclaration, topic
from ops.consumer.route import Route

__all__ = [
    "App",
    "Backend",
    "Controller",
    "Halt",
    "InlineBackend",
    "Interchanger",
    "Message",
    "Output",
    "Parser",
    "PlainMessage",
    "Responder",
    "Route",
    "TopicDeclaration",
    "TopicMapper",
    "load_app",
    "topic",
]
