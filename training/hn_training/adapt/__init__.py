"""A few patients with better contours, and a trained model: to a model that follows these contours."""
